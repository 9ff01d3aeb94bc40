"""What strangers read at a tag: datasets, adapters, and what they were made of."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.hub.looks import ALICE, LOAD, stranger
from support.hub.pushes import Pushes
from support.lmms_results import results as lmms_results
from support.lmms_results import write_results

from longvpo import TINY as TINY_FOLDER
from longvpo.io.files import RELEASE
from longvpo.recipe.file import load_recipe
from longvpo.video.joined import at_rate


def rows_of(folder: Path, config: str) -> list[dict[str, Any]]:
    """What the parquet files of a folder hold."""
    from pyarrow import parquet

    tables = [parquet.read_table(path) for path in sorted((folder / config).glob("*.parquet"))]
    return [
        row for table in tables for row in table.drop_columns([*({"frames"} & set(table.column_names))]).to_pylist()
    ]


def test_a_dataset_is_built_released_twice_and_read_by_a_stranger(
    pushes: Pushes, world: Path, second: Path, tmp_path: Path
) -> None:
    recipe = ["tiny", f"sources.0.folder={world}", "stage1.triplets=40", "context.clips=[1, 2, 4]", "stage2=null"]
    options = ["--repo-id", "twice", "--output", tmp_path / "built", "--push", "--json"]
    code, said = pushes.run("build-dataset", *recipe, *options, token=ALICE + "0")
    assert code == 0, said
    published = json.loads(next(line for line in said.splitlines() if line.startswith("{")))["published"]
    assert published | {"commit": ""} == {
        "repo_id": "alice/twice",
        "kind": "dataset",
        "tag": "v0.1.0",
        "commit": "",
        "new": True,
    }
    code, said = pushes.run("push", second, "--repo-id", "twice", "--tag", "v0.2.0", token=ALICE + "0")
    assert code == 0, said
    folders = {"v0.1.0": tmp_path / "built", "v0.2.0": second}
    one, two = ["stage1", "clips", "dropped"], ["stage1", "stage2", "scenes", "clips", "dropped"]
    for streaming in (False, True):
        wanted = {"v0.1.0": one[:2], "v0.2.0": two[:2]} if streaming else {"v0.1.0": one, "v0.2.0": two}
        read = stranger(pushes, tmp_path / f"home-{streaming}", LOAD, "alice/twice", json.dumps(wanted), streaming)
        for tag, folder in folders.items():
            assert read[tag] == {config: rows_of(folder, config) for config in wanted[tag]}, tag
    state = pushes.state()["datasets/alice/twice"]
    one, two = (state["trees"][state["tags"][tag]] for tag in ("v0.1.0", "v0.2.0"))
    assert len([path for path in two if path.startswith("stage1/")]) == 1, "the old file went with the same commit"
    assert set(one) - {path for path in one if path.endswith(".parquet")} <= set(two)
    assert state["private"], "a new repository is private"
    assert len(state["commits"]) == 3, "one for each release, after the Hub's own"
    # the same again does nothing, and other content under that tag is refused
    code, said = pushes.run("push", second, "--repo-id", "twice", "--tag", "v0.2.0", token=ALICE + "0")
    assert (code, "published before: alice/twice at v0.2.0" in said) == (0, True), said
    code, said = pushes.run("push", second, "--repo-id", "twice", "--tag", "v0.1.0", token=ALICE + "0")
    assert (code, "a tag never moves: give another --tag" in said) == (1, True), said
    assert pushes.state()["datasets/alice/twice"] == state


LOGITS = """
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

def logits(base, adapter, revision):
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter, **({"revision": revision} if revision else {}))
    with torch.no_grad():
        return model.eval()(**load_file(sys.argv[1])).logits[0, -1].tolist()

print(json.dumps([logits(*case) for case in json.loads(sys.argv[2])]))
"""


@pytest.fixture
def inputs(world: Path, tmp_path: Path) -> Path:
    """A question about a clip, as the tiny model takes it."""
    import numpy as np
    from safetensors.torch import save_file
    from support.world import TINY

    from longvpo.models.encode import encode
    from longvpo.models.load import load_processor
    from longvpo.video.frames import read_frames

    frames = read_frames(world / "videos" / "00000.mp4", np.arange(4) + 0.5)
    encoded = encode(load_processor(TINY), ["what color is the ring?"], [frames], [at_rate(len(frames), 1.0)])
    save_file({name: value.contiguous() for name, value in encoded.items()}, tmp_path / "inputs.safetensors")
    return tmp_path / "inputs.safetensors"


def test_an_adapter_is_trained_released_and_loaded_by_a_stranger(
    pushes: Pushes, first: Path, world: Path, inputs: Path, tmp_path: Path
) -> None:
    data = [f"data.dataset={first}", f"data.videos.drawn={world}", "training.max_steps=2"]
    options = ["--repo-id", "stage1", "--output", tmp_path / "out", "--push", "--collection", "All of it"]
    code, said = pushes.run("train", "tiny", *data, *options, token=ALICE + "1")
    assert code == 0, said
    assert "published: alice/stage1 at v0.1.0, commit " in said
    code, said = pushes.run("merge", tmp_path / "out", token=ALICE + "1")
    assert code == 0, said
    assert json.loads((tmp_path / "out-merged" / "facts.json").read_text())["name"] == "alice/stage1-merged"
    code, said = pushes.run("push", tmp_path / "out-merged", "--repo-id", "whole", token=ALICE + "1")
    assert code == 0, said
    code, said = pushes.run("push", first, "--repo-id", "data", "--collection", "All of it", token=ALICE + "1")
    assert code == 0, said
    cases = [
        (str(TINY_FOLDER), str(tmp_path / "out"), None),
        (str(TINY_FOLDER), "alice/stage1", "v0.1.0"),
        (str(TINY_FOLDER), None, None),
        ("alice/whole", None, None),
    ]
    here, there, base, merged = stranger(pushes, tmp_path / "home", LOGITS, inputs, json.dumps(cases))
    assert there == here
    assert there != base, "two steps changed something"
    assert merged == pytest.approx(here, abs=1e-4), "the base is not in NF4 there either"
    card = pushes.read("models/alice/whole", "v0.1.0", "README.md")
    assert 'AutoModelForImageTextToText.from_pretrained("alice/whole", revision="v0.1.0",' in card
    assert "PeftModel" not in card
    (collection,) = [one for one in pushes.state()["collections"].values() if one["title"] == "All of it"]
    assert [(item["type"], item["id"]) for item in collection["items"]] == [
        ("model", "alice/stage1"),
        ("dataset", "alice/data"),
    ]


@pytest.mark.soak
def test_what_was_published_is_found_again(pushes: Pushes, first: Path, world: Path, tmp_path: Path) -> None:
    """Card, recipe and adapter name data that lie in a folder still or come from the Hub, and a base on the Hub."""
    folder = Path(shutil.copytree(first, tmp_path / "data"))
    code, said = pushes.run("push", folder, "--repo-id", "origin", token=ALICE + "2")
    assert code == 0, said
    commit = json.loads((folder / RELEASE).read_text())["commit"]
    upload = """
from huggingface_hub import create_repo, upload_folder
create_repo("base")
print(json.dumps(upload_folder(folder_path=sys.argv[1], repo_id="alice/base").oid))
"""
    base_commit = stranger(pushes, tmp_path / "home", upload, TINY_FOLDER)
    from_hub = ["data.dataset=alice/origin", "data.revision=v0.1.0", "base.model=alice/base", "base.license=mit"]
    for tag, data, base in (
        ("v0.1.0", [f"data.dataset={folder}"], ("tiny", "main")),
        ("v0.2.0", from_hub, ("alice/base", base_commit)),
    ):
        options = ["--repo-id", "trained", "--tag", tag, "--output", tmp_path / tag, "--push"]
        videos = [f"data.videos.drawn={world}", "training.max_steps=1"]
        code, said = pushes.run("train", "tiny", *data, *videos, *options, token=ALICE + "2")
        assert code == 0, said[-3000:]
        recipe, config, card, changes = (
            pushes.read("models/alice/trained", tag, name)
            for name in ("recipe.yaml", "adapter_config.json", "README.md", "CHANGELOG.md")
        )
        named = yaml.safe_load(recipe)["data"]
        assert (named["dataset"], named["revision"]) == ("alice/origin", "v0.1.0")
        pinned = json.loads(config)
        assert (pinned["base_model_name_or_path"], pinned["revision"]) == base
        link = "[`alice/origin`](https://huggingface.co/datasets/alice/origin)"
        assert f"| dataset | {link} at `v0.1.0`, commit `{commit}` |" in card
        assert "\ndatasets:\n- alice/origin\n" in card
    assert f'from_pretrained("alice/base", revision="{base_commit}",' in card
    assert "\nbase_model: alice/base\nbase_model_relation: adapter\n" in card
    assert "\n- base_model:adapter:alice/base\n" in card
    assert re.findall(r"## (v\S+)", changes) == ["v0.2.0", "v0.1.0"]


def test_no_token_and_no_path_of_this_machine_is_published(pushes: Pushes, first: Path) -> None:
    token = ALICE + "secret"
    code, said = pushes.run("push", first, "--repo-id", "clean", token=token)
    assert code == 0
    assert token not in said
    for path, sha256 in next(iter(pushes.state()["datasets/alice/clean"]["trees"].values())).items():
        content = (pushes.folder / "hub" / "objects" / sha256).read_bytes()
        assert token.encode() not in content, path
        assert str(first.parent).encode() not in content, path
        assert b"/world0" not in content, path


def test_results_and_scores_on_benchmarks_are_published(
    pushes: Pushes, first: Path, adapter: Path, test_world: Path, tmp_path: Path
) -> None:
    from longvpo.evaluation.run import evaluate
    from longvpo.recipe.evaluation import EvaluateRecipe

    small = [f"source.folder={test_world}", "multi=null", "grid.clips=[1, 2]", "grid.questions=2"]
    found = tmp_path / "results"
    results = evaluate(load_recipe(EvaluateRecipe, "tiny", small), found, {"adapter": adapter})
    score = {"dataset": {"id": "someone/bench", "task_id": "mcq"}, "value": 61.5, "notes": "64 frames"}
    (found / "benchmarks.yaml").write_text(yaml.safe_dump([score]))
    command = ["push", adapter, "--repo-id", "evaluated"]
    weights = json.loads((adapter / "facts.json").read_text())["weights_sha256"]
    write_results(tmp_path / "lmms" / "base", lmms_results({"lvbench": 0.45}, None))
    write_results(tmp_path / "lmms" / "adapter", lmms_results({"lvbench": 0.50}, weights))
    code, said = pushes.run(*command, "--results", found, "--results", tmp_path / "lmms", token=ALICE + "results")
    assert code == 0, said
    state = pushes.state()["models/alice/evaluated"]
    made = {"results.json", "heat_map.png", "benchmarks.json", ".eval_results/longvpo.yaml"}
    assert made < set(state["trees"][state["commits"][0]])
    read = """
from huggingface_hub import hf_hub_download, parse_eval_result_entries
import yaml
scores = open(hf_hub_download("alice/evaluated", ".eval_results/longvpo.yaml", revision="v0.1.0"))
(score,) = parse_eval_result_entries(yaml.safe_load(scores))
card = open(hf_hub_download("alice/evaluated", "README.md", revision="v0.1.0")).read()
print(json.dumps([score.dataset_id, score.task_id, score.value, score.notes, card]))
"""
    *entry, card = stranger(pushes, tmp_path / "home", read)
    assert entry == ["someone/bench", "mcq", 61.5, "64 frames"]
    assert f"| **adapter** (this one) | {results['needle']['adapter']['1']:.1f} ±" in card
    assert "[.eval_results](.eval_results/longvpo.yaml) has what the Hub registers." in card
    assert "| LVBench | 45.0 | 50.0 | +5.0 ±3.6 ▲ | 1,500 |" in card

    # the adapter is measured from there: the commit of the tag stands in the results
    asked = [*small[:2], "source.clips=4", "grid.clips=[1]", "grid.depths=2", "grid.questions=1"]
    measured = ["evaluate", "tiny", *asked, "--adapter", "alice/evaluated@v0.1.0", "--output", tmp_path / "again"]
    code, said = pushes.run(*measured, token=ALICE + "results")
    assert code == 0, said
    told = json.loads((tmp_path / "again" / "results.json").read_text())
    origin = {"repo_id": "alice/evaluated", "revision": "v0.1.0", "commit": state["tags"]["v0.1.0"]}
    assert told["from_hub"] == {"alice/evaluated@v0.1.0": origin}
    assert told["adapters"] == {"alice/evaluated@v0.1.0": weights}
    assert told["trained_on"] == {"alice/evaluated@v0.1.0": 0}

    broken = Path(shutil.copytree(found, tmp_path / "broken"))
    (broken / "benchmarks.yaml").write_text("- dataset: {id: someone/bench}\n  value: 3\n")
    other = Path(shutil.copytree(found, tmp_path / "other"))
    (other / "results.json").write_text(json.dumps(results | {"adapters": {"adapter": "0" * 64}}))
    for more, says in (
        ([adapter, "--results", broken], "is not a list of benchmark scores (KeyError: 'task_id'): give entries with"),
        ([adapter, "--results", other], "results.json is of other adapters: evaluate this one"),
        ([adapter, "--results", adapter], "holds no results: it has no results.json"),
        (
            [adapter, "--results", tmp_path / "lmms" / "base"],
            "nothing there is of this adapter; run lmms-eval with it",
        ),
        ([adapter, "--results", found / "results.json"], "is not of lmms-eval: give its DATE_results.json, or the"),
        ([first, "--results", found], "holds a dataset: --results is for adapters"),
        ([found], "holds no finished dataset or adapter: it has no facts.json"),
        ([tmp_path / "nothing"], "holds no finished dataset or adapter: it has no facts.json"),
    ):
        code, said = pushes.run("push", *more, "--repo-id", "refused", token=ALICE + "wrong")
        (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
        assert (code, says in error) == (1, True), said
    assert "models/alice/refused" not in pushes.state(), "nothing is made of what cannot be published"
