"""Cards: complete, true to the files beside them, and equal to those in tests/golden.

The golden folders are what `longvpo push` made of a demo's dataset and of its second adapter, without its weights
(make_golden.py). After a change of a template, `longvpo card tests/golden/dataset` and `longvpo card
tests/golden/adapter` render them again; read what changed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset, load_dataset_builder
from huggingface_hub import DatasetCard, ModelCard
from support.card_numbers import NUMBER, changes, numbers, spread
from support.world import GOLDEN

from longvpo.errors import LongVPOError
from longvpo.io.files import PROVENANCE, shipped
from longvpo.release.card_file import write_card
from longvpo.release.cards import bars, card_of, kind_of
from longvpo.release.licenses import HUB_LICENSES

WORDS = ("None", "TODO", "FIXME", "More Information Needed", "undefined", "nan ", "{{", "}}", "{%")
SECTIONS = {
    "dataset": [
        *("From a row to its frames", "Columns", "Stage 1 in numbers", "Stage 2 in numbers", "How it was made"),
        *("Sources and licences", "Make it again", "What to know before using it", "Citation"),
    ],
    "adapter": ["Results", "Use it", "How it was trained", "Failures", "What to know before using it", "Citation"],
}
SAYS = {
    "dataset": [
        *("text-only baseline", "Overlap with benchmarks", "Risks", "Opt-out", "Differences from the paper"),
        *("Not for", "licence", "Versions: Python", "build-dataset", "first fifth", "Words of the rejected answers"),
    ],
    "adapter": ["recommended", "Licences", "Differences from the paper", "Benchmarks", "pip install", "seed"],
}


def text_of(folder: Path) -> tuple[dict[str, Any], str]:
    """Front matter and body of a card."""
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), body


def prose(body: str) -> str:
    """The body without code, where braces and such words may stand."""
    return re.sub(r"```.*?```", "", body, flags=re.DOTALL)


def check_complete(folder: Path) -> str:
    """What every card keeps to; returns its body."""
    front, body = text_of(folder)
    for word in WORDS:
        assert word not in prose(body), (word, folder)
    assert front["license"] in HUB_LICENSES | {"unknown"}
    assert front["language"] == ["en"]
    assert "longvpo" in front["tags"]
    for path in re.findall(r"\]\(((?!http)[^)]+)\)", body) + re.findall(r'<img src="([^"]+)"', body):
        assert path == "CHANGELOG.md" or (folder / path).exists(), f"{path} is not there"
    lines = body.splitlines()
    for number, line in enumerate(lines):
        if re.fullmatch(r"\|[-:| ]+\|", line):
            assert lines[number + 1].startswith("|"), f"an empty table after {lines[number - 1]}"
            columns = line.count("|")
            for row in lines[number + 1 :]:
                if not row.startswith("|"):
                    break
                assert row.replace("\\|", "").count("|") == columns, row
    assert "\n\n\n\n" not in body
    return body


@pytest.mark.parametrize("name", list(SECTIONS))
def test_the_golden_card(name: str) -> None:
    folder = GOLDEN / name
    assert card_of(folder) == (folder / "README.md").read_text()
    body = check_complete(folder)
    assert re.findall(r"^## (.*)$", body, re.MULTILINE) == SECTIONS[name]
    for said in SAYS[name]:
        assert said in body, said
    release = json.loads((folder / PROVENANCE).read_text())["release"]
    assert f'"{release["repo_id"]}"' in body
    assert f'revision="{release["tag"]}"' in body
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", body)
    pictures += re.findall(r'<img src="([^"]+)" width="480" alt="[^"]+">', body)
    assert len(pictures) == 2
    for picture in pictures:
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", list(SECTIONS))
def test_every_number_of_a_card_stands_in_a_file(name: str) -> None:
    folder = GOLDEN / name
    _, body = text_of(folder)
    written = re.sub(r"```(?:python|bibtex|json)\n.*?```", "", body, flags=re.DOTALL)
    templates = shipped("model_cards" if name == "adapter" else "dataset_cards").glob("*.jinja")
    known = set(re.findall(NUMBER, "".join(path.read_text() for path in templates)))
    for path in (*folder.glob("*.json"), folder / "recipe.yaml"):
        known |= numbers(yaml.safe_load(path.read_text()))
    known |= {f"{len(rows):,}" for rows in map(read_rows, folder.glob("*/*.parquet"))}
    if name == "adapter":
        known |= changes(json.loads((folder / "results.json").read_text()))
    stated = set(re.findall(rf"(?<![\w.]){NUMBER}(?!\w)", written))
    assert len(stated) > 60
    assert stated - known == set()


def read_rows(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(path)


def test_the_golden_dataset_is_what_its_card_says() -> None:
    folder = GOLDEN / "dataset"
    front = DatasetCard.load(folder / "README.md").data.to_dict()
    assert front["task_categories"] == ["video-text-to-text"]
    assert front["configs"][0]["config_name"] == "stage1"
    assert front["configs"][0]["default"] is True
    body = text_of(folder)[1]
    for info in front["dataset_info"]:
        config = info["config_name"]
        rows = load_dataset(str(folder), config, split="train")
        assert len(rows) == info["splits"][0]["num_examples"]
        assert rows.features == load_dataset_builder(str(folder), config).info.features
        assert f"| `{config}` | {len(rows):,} |" in body


def test_the_golden_adapter_tells_losses_as_it_tells_gains() -> None:
    folder = GOLDEN / "adapter"
    front = ModelCard.load(folder / "README.md").data.to_dict()
    assert (front["library_name"], front["pipeline_tag"]) == ("peft", "video-text-to-text")
    assert {"lora", "peft", "dpo", "trl"} < set(front["tags"])
    results = json.loads((folder / "results.json").read_text())
    body = text_of(folder)[1]
    marked = set()
    for table, changed in ((name, results["against_base"][name]) for name in ("needle", "multi")):
        for name, row in results[table].items():
            line = next(one for one in body.splitlines() if re.match(rf"\| (\*\*)?{name}\b", one))
            body = body.replace(line, "", 1)
            for group, value in row.items() if name != "base" else ():
                low, high = changed[name][group]["interval"]
                mark = " ▲" if low > 0 else " ▼" if high < 0 else ""
                wide = spread(results, table, name, group, value)
                assert f" {value:.1f} ±{wide:.1f} ({changed[name][group]['change']:+.1f}{mark}) |" in line
                marked.add(mark)
    assert marked == {"", " ▲", " ▼"}


def test_cards_of_all_kinds_are_complete(
    dataset: Path, world: Path, stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a release, without one stage or the other, with a judge, with frames, with an overlap list."""
    from longvpo.dataset.run import build
    from longvpo.recipe.dataset import DatasetRecipe
    from longvpo.recipe.file import load_recipe

    copy = Path(shutil.copytree(dataset, tmp_path / "one"))
    assert write_card(copy).read_text() == (dataset / "README.md").read_text(), "the card of a build, again"
    body = check_complete(copy)
    assert "Stage 2 in numbers" not in body
    (tmp_path / "videos.txt").write_text("a.mp4\nb.mp4\n")
    overlap = f"filters.overlap={tmp_path / 'videos.txt'}"
    two = [f"stage2.sources.0.folder={stories}", "stage2.triplets=6", "stage2.max_scenes=9", "stage1=null"]
    more = ["sources=[]", "embed=frames", "text_only=0", "license=cc-by-4.0", overlap]
    build(load_recipe(DatasetRecipe, "tiny", [*two, *more]), tmp_path / "two")
    body = check_complete(tmp_path / "two")
    assert "Stage 1 in numbers" not in body
    assert "not run (switched off by `text_only: 0`)" in body
    assert "2 names and hashes of benchmark videos were looked for" in body
    assert "in the column `frames` of `scenes`" in body
    assert text_of(tmp_path / "two")[0]["license"] == "cc-by-4.0"


def test_a_card_prints_the_prompts_that_were_asked_and_no_others() -> None:
    from longvpo.dataset.facts import prompts_asked
    from longvpo.recipe.dataset import DatasetRecipe, PromptSection
    from longvpo.recipe.file import load_recipe

    whole = load_recipe(
        DatasetRecipe, "longvpo-16k", ["sources.0.captions=writer", "stage2.tasks={order: 1, cause: 0}"]
    )
    asked = prompts_asked(whole, judged=True)
    assert set(asked) == set(PromptSection.model_fields), "a new prompt has its place here, too"
    assert asked["question"] == whole.prompts.question
    assert asked["tasks"] == {"order": whole.prompts.tasks["order"]}
    one, two = (
        load_recipe(DatasetRecipe, "longvpo-16k", said) for said in (["stage2=null"], ["stage1=null", "sources=[]"])
    )
    assert set(prompts_asked(one, judged=True)) == {"question", "answer", "judge", "clip_pair", "tasks"}
    assert prompts_asked(one, judged=False)["tasks"] == {}
    assert set(prompts_asked(two, judged=False)) == {"answer", "scene", "summary", "scenes_question", "tasks"}
    assert set(prompts_asked(two, judged=True)) - set(prompts_asked(two, judged=False)) == {"pair"}


@pytest.mark.parametrize(
    ("key", "step", "claim"),
    [
        ("specificity", "specificity", "captions do not answer the question"),
        ("specificity", "specificity", "Specificity is checked by"),
        ("visual_threshold", "visual similarity", "do not look"),
        ("refusals", "refusal", "refusals, "),
        ("answer_threshold", "near equal", "mean the same"),
        ("length_ratio", "length ratio", "answers of very different lengths"),
        ("balance", "balance", "answers out of balance"),
    ],
)
def test_a_card_claims_no_filter_that_was_off_or_of_a_later_version(
    key: str, step: str, claim: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(GOLDEN / "dataset", tmp_path / "dataset"))
    assert claim in card_of(folder)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    facts = (folder / "facts.json").read_text()
    (folder / "facts.json").write_text(re.sub(r'"dropped": \d+', '"dropped": 0', facts))
    recipe["filters"][key] = None if key.endswith(("threshold", "ratio")) else False
    for filters in (recipe["filters"], {name: one for name, one in recipe["filters"].items() if name != key}):
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"filters": filters}))
        card = card_of(folder)
        assert claim not in card
        said = re.findall(
            r"^The recipe switched these steps off: ([^.]*)\. Other steps dropped nothing\.", card, re.MULTILINE
        )
        off = {name for line in said for name in line.split(", ")}
        assert len(said) == 2
        assert {step, "near duplicate", "judge"} <= off
        assert "equal" not in off, "it cannot be off"


def snippets(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


def run(program: str, folder: Path) -> str:
    command = [sys.executable, "-W", "ignore", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert ended.returncode == 0, f"{program}\n{ended.stderr[-2000:]}"
    return ended.stdout


def test_the_card_of_a_training_states_what_it_knows_and_no_results(trained: Path) -> None:
    body = check_complete(trained)
    assert "## Results\n\nNot run with this file." in body
    for row in (
        "| learning rate | 0.002, linear schedule, 10 warm-up steps |",
        "| losses | `sigmoid` with weight 1, `sft` with weight 1 |",
        "| LoRA | rank 16, alpha 32, dropout 0, on 21 linear layers: `down_proj`, `gate_proj`, `k_proj`, `o_proj`,",
        "| batch | 16 triplets per step: 4 per device, 4 accumulation steps |",
        "| optimiser | `adamw_torch_fused`, beta1 0.9, beta2 0.98, weight decay 0, gradient norm at most 1 |",
    ):
        assert row in body
    facts = json.loads((trained / "facts.json").read_text())
    for one in facts["memory"]:
        assert f"| {one['frames']} | {one['tokens']:,} | {one['nf4']:g} | {one['dtype']:g} |" in body


def test_a_column_that_the_user_added_is_listed_without_a_meaning(tmp_path: Path) -> None:
    from pyarrow import parquet

    folder = Path(shutil.copytree(GOLDEN / "dataset", tmp_path / "dataset"))
    (file,) = (folder / "stage1").iterdir()
    rows = read_rows(file)
    parquet.write_table(rows.append_column("my_note", [["x"] * len(rows)]), file)
    row = "| `my_note` string<br>stage1 | not a column of longvpo: this card does not know what it means |"
    assert row in card_of(folder).splitlines()


def test_a_folder_of_two_words_is_one_word_of_the_shell(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "adapter", tmp_path / "mine"))
    for file, key, value in (("facts.json", "name", "my adapter"), ("provenance.json", "release", None)):
        said = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(said | {key: value}))
    assert "--adapter 'my adapter'`" in card_of(folder)


def test_bars() -> None:
    drawn = " 1  " + "█" * 24 + " 4\n10  " + "█" * 12 + " 2\n x  ▏ 0.01"
    assert bars({"1": 4, "2": 0, "10": 2, "x": 0.01}) == f"```\n{drawn}\n```"


def test_a_folder_that_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(LongVPOError, match=r"holds no finished dataset or adapter: it has no facts\.json"):
        write_card(tmp_path)
    assert kind_of(GOLDEN / "adapter") == "model"
