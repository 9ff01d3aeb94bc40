"""lmms-eval with our model class, in its own environment: a local task has the scores that we count ourselves.

python3.11 -m venv lmms && lmms/bin/pip install 'lmms-eval==0.7.3' 'filelock<4' && lmms/bin/pip install .
LONGVPO_LMMS_PYTHON=lmms/bin/python python -m pytest tests/evaluation/test_lmms.py
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.lmms_stub import Instance, install
from support.world import TINY

from longvpo.errors import LongVPOError
from longvpo.evaluation.benchmarks import measure
from longvpo.evaluation.run import evaluate
from longvpo.io.files import file_hash, write_text
from longvpo.io.records import read_record
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.models.load import load_model
from longvpo.recipe.builtin import find_recipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import dump_recipe, load_recipe
from longvpo.release.benchmarks import found_in, read_benchmarks

LMMS = os.environ.get("LONGVPO_LMMS_PYTHON")
needs_lmms_eval = pytest.mark.skipif(
    not LMMS, reason="LONGVPO_LMMS_PYTHON names no python of an environment with lmms-eval and longvpo"
)
QUESTIONS = 17  # odd: two processes have unequal shares
TASK = """
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/metadata.jsonl}}}}
task: local_{kind}
test_split: test
output_type: generate_until
doc_to_visual: !function local.{kind}
doc_to_text: question
doc_to_target: answer
generation_kwargs: {{max_new_tokens: 6, temperature: 0, do_sample: false}}
process_results: !function local.right
metric_list: [{{metric: right, aggregation: mean, higher_is_better: true}}]
"""
LOCAL = """
import re
from pathlib import Path

from PIL import Image

from longvpo.video.frames import duration, read_frames, sample_times

FOLDER = Path({folder!r})


def video(doc):
    return [str(FOLDER / doc["file_name"])]


def images(doc):
    path = FOLDER / doc["file_name"]
    return [Image.fromarray(one) for one in read_frames(path, sample_times(0, duration(path), 1, 128), backend="pyav")]


def words(text):
    return re.sub(r"[^a-z ]", "", text.lower()).split()


def right(doc, results):
    return {{"right": float(words(results[0]) == words(doc["answer"]))}}
"""
TASKS = ("local_video", "local_images")


@pytest.fixture(scope="module")
def questions(test_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with questions about whole videos, for us, and two local tasks with the same ones, for lmms-eval."""
    folder = tmp_path_factory.mktemp("questions")
    (folder / "videos").symlink_to(test_world / "videos")
    rows = (test_world / "metadata.jsonl").read_text().splitlines()[:QUESTIONS]
    write_text(
        folder / "metadata.jsonl", "".join(json.dumps(json.loads(row) | {"kind": "all"}) + "\n" for row in rows)
    )
    for kind in ("video", "images"):
        write_text(folder / "tasks" / f"local_{kind}.yaml", TASK.format(folder=folder, kind=kind))
    write_text(folder / "tasks" / "local.py", LOCAL.format(folder=str(folder)))
    return folder


@pytest.fixture(scope="module")
def recipe(questions: Path, test_world: Path) -> EvaluateRecipe:
    small = [f"source.folder={test_world}", "grid.clips=[1]", "grid.questions=1", "base.quantization=null"]
    return load_recipe(
        EvaluateRecipe, "tiny/evaluate", [*small, f"multi.source.folder={questions}", "multi.group=kind"]
    )


def lmms_eval(line: str, questions: Path, *launcher: str) -> None:
    """Run a printed command, with local tasks in place of a benchmark."""
    python, *words = shlex.split(line)
    assert python == "python"
    words[words.index("--tasks") + 1] = ",".join(TASKS)
    here = ("--include_path", questions / "tasks", "--verbosity", "DEBUG")  # with others, an error ends with code 0
    environment = os.environ | {"HF_DATASETS_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"}
    environment.pop("PYTHONPATH", None)
    command = [str(LMMS), *launcher, *words, *map(str, here)]
    done = subprocess.run(command, env=environment, cwd=questions, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def samples(folder: Path) -> dict[tuple[str, int], Any]:
    """What was answered to each document of each task, in the last run into a folder."""
    found: dict[tuple[str, int], Any] = {}
    for task in TASKS:
        newest = max(folder.rglob(f"*_samples_{task}.jsonl"))
        found |= {
            (task, one["doc_id"]): one["filtered_resps"] for one in map(json.loads, newest.read_text().splitlines())
        }
    return found


@needs_lmms_eval
def test_scores_are_those_that_we_count(
    recipe: EvaluateRecipe, questions: Path, trained: Path, tmp_path: Path
) -> None:
    own = evaluate(recipe, tmp_path / "own", {"adapter": trained})["multi"]
    write_text(tmp_path / "recipe.yaml", dump_recipe(recipe))
    found = tmp_path / "found"
    printed = measure(str(tmp_path / "recipe.yaml"), [], "lvbench", {"adapter": str(trained)}, found)
    _, (base, adapter), _ = printed.values()
    lmms_eval(base, questions)
    two = ("-m", "accelerate.commands.launch", "--config_file", str(find_recipe("accelerate/ddp")))
    lmms_eval(adapter, questions, *two, "--main_process_port", "0")
    (file,) = found_in(found / "adapter")
    assert read_record(file)["config"]["batch_sizes"][0]["processes"] == 2
    assert len(list((found / "journal").iterdir())) == 3, "each of the two, as the one before, has answered a part"

    facts, training = read_record(trained / "facts.json"), read_record(trained / "recipe.yaml")
    rows = {row["task"]: row for row in read_benchmarks(found_in(found), facts, training)["rows"]}
    assert set(rows) == set(TASKS)
    for row in rows.values():
        assert (row["questions"], row["of"], row["frames"], row["lmms_eval"]) == (QUESTIONS, QUESTIONS, 128, "0.7.3")
        for name in ("base", "adapter"):
            assert 100 * row[name]["value"] == pytest.approx(own[name]["all"], abs=0.05), (row["task"], name)
        assert 0.2 < row["base"]["value"] <= 1
    answers = samples(found / "adapter")
    assert len(answers) == 2 * QUESTIONS, "each document was answered by one of the two processes"

    kept = [path.read_text() for path in sorted((found / "journal").iterdir())]
    lmms_eval(adapter, questions)
    assert [path.read_text() for path in sorted((found / "journal").iterdir())] == kept, "nothing is asked twice"
    assert samples(found / "adapter") == answers
    again = read_benchmarks(found_in(found), facts, training)["rows"]
    assert [row["adapter"] for row in again] == [row["adapter"] for row in rows.values()]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that changes nothing."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("untrained") / "adapter"
    adapted = get_peft_model(load_model(TINY), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    adapted.peft_config["default"].base_model_name_or_path = "tiny"
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.mark.parametrize("kept", [False, True])
def test_documents_are_answered_in_their_order(
    kept: bool, test_world: Path, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class alone, with a few names in the place of lmms-eval."""
    module = install(monkeypatch)
    rows = [json.loads(row) for row in (test_world / "metadata.jsonl").read_text().splitlines()[:6]]

    def messages(row: dict[str, Any]) -> list[dict[str, Any]]:
        video = {"type": "video", "url": str(test_world / row["file_name"])}
        return [{"role": "user", "content": [video, {"type": "text", "text": row["question"]}]}]

    journal = {"journal": str(tmp_path / "journal")} if kept else {}
    model = module.LongVPO("tiny", str(untrained), batch_size="4", frames=16, quantization="null", **journal)
    model.task_dict = {"local": {"test": rows}}
    limits = [6, 1, 6, 6, 1, 6]
    requests = [
        Instance(("", messages, {"max_new_tokens": limit, "until": [" "]}, place, "local", "test"))
        for place, limit in enumerate(limits)
    ]
    answers = model.generate_until(requests)
    assert [one.text for one in answers] == [row["answer"].split()[0] for row in rows]
    assert [one.token_counts.output_tokens == 1 for one in answers] == [limit == 1 for limit in limits]
    said = model.batch_sizes["longvpo"]
    weights = file_hash(untrained / ADAPTER_WEIGHTS)
    assert (said["model"], said["adapter"], said["lmms_eval"]) == ("tiny@main", weights, "lmms-eval's")
    assert (said["frames"], said["quantization"], said["processes"]) == (16, None, 1)
    for ask in (model.loglikelihood, model.generate_until_multi_round):
        with pytest.raises(LongVPOError, match=r"^local "):
            ask(requests)
    model.clean()
    assert model.writer is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"batch_size": "auto"}, "longvpo tries no batch sizes: give --batch_size a number"),
        ({"batch_size": "4", "max_batch_size": 8}, "longvpo tries no batch sizes"),
        ({"frame": 4}, "unknown model argument frame (did you mean frames?)"),
        ({"device": "tpu"}, "longvpo runs on cpu: leave --device out"),
        ({"adapter": "/no/where"}, "no such folder: /no/where"),
    ],
)
def test_a_mistake_is_told_before_a_weight_is_loaded(
    arguments: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = install(monkeypatch)
    monkeypatch.setattr("longvpo.models.local.load_model", lambda *_: pytest.fail("loaded"))
    with pytest.raises(LongVPOError) as refused:
        module.LongVPO("tiny", **arguments)
    assert says in str(refused.value)
