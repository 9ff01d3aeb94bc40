"""A first recipe for a folder of one's own runs as it stands, and says what is missing."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from support.commands import Capture, check_mistake, run

from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe

TWENTY = 20


@pytest.fixture
def mine(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 20 clips with captions, beside which a user stands."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "My films: all"
    (folder / "videos").mkdir(parents=True)
    lines = (world / "metadata.jsonl").read_text().splitlines()[:TWENTY]
    for line in lines:
        name = json.loads(line)["file_name"]
        shutil.copy(world / name, folder / name)
    table([{name: json.loads(line)[name] for name in ("file_name", "caption")} for line in lines], folder)
    return folder


def table(rows: list[dict[str, str]], folder: Path) -> None:
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows_of(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_the_recipe_runs_as_it_stands(mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    assert run(monkeypatch, "init", mine.name, "--from", "tiny") == 0
    said = capsys.readouterr().err
    assert "next:    longvpo build-dataset my.yaml --dry-run" in said
    text = Path("my.yaml").read_text()
    assert text.count("# <-- ") == 4
    assert run(monkeypatch, "build-dataset", "my.yaml", "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["recipe"], plan["triplets"], plan["sources"][0]["rows"]) == ("my-films-all-data", 60, TWENTY)
    assert plan["prompt_tokens_a_call"] > 0
    recipe = load_recipe(DatasetRecipe, "my.yaml")
    assert (recipe.sources[0].license, recipe.sources[0].redistribution, recipe.license) == ("unknown", False, None)
    assert recipe.context.clips == (1, 2, 4, 8, 16), "32 clips are not there"
    # a second time nothing is overwritten
    check_mistake(run(monkeypatch, "init", mine.name, "--from", "tiny"), capsys, ["my.yaml exists"])
    assert Path("my.yaml").read_text() == text


def test_real_models_and_a_model_that_is_replaced(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "init", mine, "--from", "qwen2.5-vl-7b/dataset", "--output", "q.yaml") == 0
    recipe = load_recipe(DatasetRecipe, "q.yaml")
    assert (recipe.writer.model, recipe.writer.license) == ("Qwen/Qwen2.5-VL-7B-Instruct", "apache-2.0")
    assert recipe.stage2 is None
    text = Path("q.yaml").read_text().replace("Qwen/Qwen2.5-VL-7B-Instruct", "me/mine")
    Path("q.yaml").write_text(text)
    assert load_recipe(DatasetRecipe, "q.yaml").writer.license == "unknown"


def test_without_captions_the_writer_makes_them(mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    with (mine / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["video"], *([row["file_name"]] for row in rows_of(mine))])
    (mine / "metadata.jsonl").unlink()
    assert run(monkeypatch, "init", mine) == 0
    (source,) = load_recipe(DatasetRecipe, "my.yaml").sources
    assert (source.captions, source.columns.video) == ("writer", "video")
    said = capsys.readouterr().err
    assert "note: metadata.csv has no captions, so the writer describes each clip first" in said
    assert "note: columns of metadata.csv: video=video\n" in said


def test_questions_without_captions(mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """An evaluation needs captions, too: it is said before a recipe is there that cannot run."""
    table([{"file_name": row["file_name"], "question": "what?", "answer": "it"} for row in rows_of(mine)], mine)
    texts = ["needs the columns caption, question and answer, and metadata.jsonl has no caption: add that"]
    check_mistake(run(monkeypatch, "init", mine, "--from", "tiny/evaluate"), capsys, texts)
    assert run(monkeypatch, "init", mine, "--from", "tiny") == 0
    assert "To evaluate, add a column caption, and give --from tiny/evaluate" in capsys.readouterr().err


def test_a_table_with_questions_is_measured_on(mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    table([row | {"question": "what is it?", "answer": f"thing {n}"} for n, row in enumerate(rows_of(mine))], mine)
    assert run(monkeypatch, "init", mine, "--from", "tiny", "--output", "test.yaml") == 0
    assert "next:    longvpo evaluate test.yaml --dry-run" in capsys.readouterr().err
    assert run(monkeypatch, "evaluate", "test.yaml", "--dry-run") == 0
    recipe = load_recipe(EvaluateRecipe, "test.yaml")
    assert recipe.grid.clips == (1, 2, 4, 8, 16)
    assert run(monkeypatch, "init", mine, "--from", "tiny/dataset", "--output", "data.yaml") == 0
    assert load_recipe(DatasetRecipe, "data.yaml").sources[0].captions == "table"
    assert "has questions: --from tiny/evaluate makes a recipe to evaluate on them" in capsys.readouterr().err


def test_what_is_missing_is_said(mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    check_mistake(run(monkeypatch, "init", "no/where"), capsys, ["no/where is not a folder"])
    check_mistake(
        run(monkeypatch, "init", mine, "--from", "tiny/stage1"), capsys, ["--from tiny/stage1", "qwen3-vl-8b"]
    )
    (mine / "metadata.jsonl").write_text("{not json}\n")
    check_mistake(run(monkeypatch, "init", mine), capsys, ["cannot read", "metadata.jsonl"])
    (mine / "metadata.jsonl").unlink()
    texts = [f"has {TWENTY} video files and no table", "metadata.jsonl with a line for each", '{"file_name": "videos/']
    check_mistake(run(monkeypatch, "init", mine), capsys, texts)
    shutil.rmtree(mine / "videos")
    check_mistake(run(monkeypatch, "init", mine), capsys, ["holds no video and no table"])
    assert not Path("my.yaml").exists()
