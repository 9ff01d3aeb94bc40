"""The needle grid and the questions about long videos: what is asked, and that an answer counts when it is right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from longvpo import TINY
from longvpo.clips.pool import Pool
from longvpo.clips.rows import Clip
from longvpo.clips.trained import write_trained
from longvpo.errors import LongVPOError
from longvpo.evaluation import exam
from longvpo.evaluation import run as module
from longvpo.evaluation.needle import make_cells
from longvpo.evaluation.run import evaluate
from longvpo.evaluation.scoring import ExamQuestion
from longvpo.io.files import TRAINED, file_hash
from longvpo.models import local
from longvpo.models.writer import Answer
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe
from longvpo.release.cards import card_of


class Alike:
    """To it all sentences are the same."""

    def texts(self, texts: list[str]) -> np.ndarray:
        return np.ones((len(texts), 1))


@pytest.mark.parametrize(
    ("threshold", "said"),
    [(2.0, "40 by specificity (set filters.specificity=false)"), (0.5, "40 by visual_similarity (set filters.vis")],
)
def test_too_few_contexts_say_which_filter_refused(threshold: float, said: str) -> None:
    some = [Clip(f"c{n}", "mine", f"{n}.mp4", 0.0, 1.0, "a car", sha256=f"{n}" * 64) for n in range(3)]
    pool = Pool(some, np.ones(3, int), np.ones((3, 1)), np.ones((3, 1)))
    grid = ["grid.clips=[2]", "grid.questions=4", f"filters.visual_threshold={threshold}"]
    recipe = load_recipe(EvaluateRecipe, "tiny/evaluate", grid)
    asked = [ExamQuestion("what?", ("a car",))] * 3
    with pytest.raises(LongVPOError) as error:
        make_cells(recipe, pool, asked, Alike())  # type: ignore[arg-type]
    assert f"gives 0 of 4 contexts of 2 clips; refused were {said}" in str(error.value)
    off = load_recipe(EvaluateRecipe, "tiny/evaluate", [*grid, "filters.specificity=false", "grid.clips=[4]"])
    with pytest.raises(LongVPOError, match=r"of 4 clips(; refused .*)?: add clips"):
        make_cells(off, pool, asked, Alike())  # type: ignore[arg-type]


@pytest.fixture
def recipe(test_world: Path) -> EvaluateRecipe:
    overrides = [f"source.folder={test_world}", "grid.clips=[1, 2, 8]", "grid.questions=4", "multi=null"]
    return load_recipe(EvaluateRecipe, "tiny/evaluate", overrides)


def test_the_grid_of_the_base(
    recipe: EvaluateRecipe, test_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions = {
        row["file_name"]: (row["caption"], row["question"], row["answer"])
        for row in map(json.loads, (test_world / "metadata.jsonl").read_text().splitlines())
    }
    seen = {}
    needles = exam.needles

    def spy(pool, cells, frames_of):  # type: ignore[no-untyped-def]
        seen["pool"], seen["cells"] = pool, cells
        return needles(pool, cells, frames_of)

    monkeypatch.setattr(exam, "needles", spy)
    results = evaluate(recipe, tmp_path / "out")
    assert list(results["grid"]["base"]) == ["1", "2", "8"]
    assert [len(row) for row in results["grid"]["base"].values()] == [1, 5, 5]
    assert results["questions"] == {"1": [20], "2": [4] * 5, "8": [4] * 5}
    assert results["needle"]["base"]["1"] >= 95
    assert results["dropped"] == {}
    assert not {"multi", "multi_questions"} & set(results)
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
    assert (tmp_path / "out" / "heat_map.png").stat().st_size > 10_000
    assert [[needle.place for needle in cell] for cell in seen["cells"][8]] == [
        [0] * 4,
        [2] * 4,
        [4] * 4,
        [5] * 4,
        [7] * 4,
    ]
    for row in seen["cells"].values():
        for needle in (needle for cell in row for needle in cell):
            shown = [captions[seen["pool"].clips[c].video] for c in needle.clips]
            caption, question, answer = shown[needle.place]
            assert (needle.question, needle.answers) == (question, (answer,))
            shape = caption.split()[2]
            assert [other.split()[2] for other, _, _ in shown].count(shape) == 1, "no distractor can answer"
    # the same command again answers from the folder; other questions need another one
    assert evaluate(recipe, tmp_path / "out") == results


def test_what_the_model_writes_decides(
    recipe: EvaluateRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word, output in ((" SAND. ", "sand"), ("sand and red", "both")):
        said = [Answer(word)]
        monkeypatch.setattr(local, "answer", lambda *inputs, said=said: said * len(inputs[2]))
        results = evaluate(recipe, tmp_path / output)
        if output == "both":
            assert set(results["needle"]["base"].values()) == {0.0}, "a right word among others is not an answer"
        else:  # about one question in sixteen
            assert 0 < np.mean(list(results["needle"]["base"].values())) < 40


def test_test_videos_that_an_adapter_was_trained_on_are_marked(
    recipe: EvaluateRecipe,
    trained: Path,
    test_world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, "ask", lambda writer, journal, exam, name: [[Answer("red")] * len(p) for p in exam])
    videos = sorted(file_hash(path) for path in (test_world / "videos").iterdir())
    adapters = {name: shutil.copytree(trained, tmp_path / name) for name in ("other", "leaky", "silent")}
    write_trained(adapters["leaky"], {*videos[:3], "a" * 64})
    (adapters["silent"] / TRAINED).unlink()
    results = evaluate(recipe, tmp_path / "out", adapters)
    assert results["test_videos"] == len(videos)
    assert results["trained_on"] == {"other": 0, "leaky": 3, "silent": None}
    said = capsys.readouterr().err
    assert "warning: 3 of 60 test videos were trained on by leaky: its results are no test of them" in said
    assert said.count("warning") == 1
    for name, line in (
        ("leaky", "**Warning: 3 of 60 test videos were trained on**"),
        ("silent", "Whether test videos were trained on: not checked"),
        ("other", "Of 60 test videos, 0 were trained on"),
    ):
        # all three have the same weights here: the card finds its adapter by them
        mine = results | {"adapters": {name: results["adapters"][name]}}
        (adapters[name] / "results.json").write_text(json.dumps(mine))
        assert line in card_of(adapters[name])
    merged = Path(shutil.copytree(TINY, tmp_path / "merged"))
    write_trained(merged, {*videos[:2]})
    base = recipe.base.model_copy(update={"model": str(merged)})
    found = evaluate(recipe.model_copy(update={"base": base}), tmp_path / "of merged")
    assert found["trained_on"] == {"base": 2}
    assert "warning: 2 of 60 test videos were trained on by base" in capsys.readouterr().err
