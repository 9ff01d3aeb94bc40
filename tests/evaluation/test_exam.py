"""A table's rows are asked and scored each in its own way, from the recipe to results and answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from longvpo.cli.printing import print_tables
from longvpo.errors import LongVPOError
from longvpo.evaluation import judge, run
from longvpo.evaluation.plan import plan_evaluation
from longvpo.evaluation.run import evaluate
from longvpo.models import local
from longvpo.models.journal import Journal
from longvpo.models.text import AnswerVerdict
from longvpo.models.writer import Answer, Keep, Request
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.prompts import GRADE

WAYS: list[dict[str, Any]] = [
    {"scoring": "exact", "task": "word"},
    {"scoring": "contains", "task": "sentence"},
    {"scoring": "choice", "task": "letter"},
    {"scoring": "judge", "task": "judged"},
]


@pytest.fixture
def mixed(test_world: Path, tmp_path: Path) -> Path:
    """Clips whose questions are scored in all four ways, by turns."""
    folder = tmp_path / "mixed"
    shutil.copytree(test_world, folder)
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    rows = [row | WAYS[number % 4] for number, row in enumerate(rows)]
    rows[2] |= {"options": ["nowhere", rows[2]["answer"], "everywhere"]}
    rows[6] |= {"options": ["nowhere", "everywhere"]}
    rows[5] |= {"scoring": "bleu"}
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def load(folder: Path, *more: str) -> EvaluateRecipe:
    grid = ["grid.clips=[1]", "grid.depths=2", "grid.questions=30", "multi=null"]
    return load_recipe(EvaluateRecipe, "tiny/evaluate", [f"source.folder={folder}", *grid, *more])


class Teacher:
    """Cannot read every fifth reply."""

    name = "teacher@1"

    def __init__(self, section: Any) -> None:
        self.settings: dict[str, Any] = {}
        self.asked = 0

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return [[place] for place in range(len(requests))]

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number in range(len(batches)):
            self.asked += 1
            verdict = {"reason": "as I see it", "right": True}
            keep(number, [Answer("hm" if self.asked % 5 == 0 else json.dumps(verdict))])


def test_each_row_in_its_own_way(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(judge, "writer_of", Teacher)
    monkeypatch.setattr(local, "answer", lambda *inputs: [Answer("It is in the sand, I see.")] * len(inputs[2]))
    results = evaluate(load(mixed, "scoring.judge.model=tiny", "scoring.suffix='In one word.'"), tmp_path / "out")
    said = capsys.readouterr().err
    bleu, none = results["dropped"].values()
    assert bleu.startswith("videos/00005.mp4: its scoring is 'bleu': give exact, contains, choice, judge")
    assert none.startswith("videos/00006.mp4: its answer")
    assert "is not one of its options" in none
    left_out = f"warning: 2 of 60 rows left out, the first: {bleu}; `dropped` of the results has all"
    assert left_out in said
    plan = plan_evaluation(load(mixed, "scoring.judge.model=tiny"))
    assert plan["scoring"] == {"exact": 15, "contains": 14, "choice": 14, "judge": 15}
    assert left_out in capsys.readouterr().err
    scoring = results["scoring"]
    assert sum(scoring["by"].values()) == 60
    assert list(scoring["by"]) == ["exact", "contains", "choice", "judge"]
    assert (scoring["suffix"], scoring["letters"]) == ("In one word.", "greedy")
    lines = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    unread = [one for one in lines if "cannot be read" in one.get("reason", "")]
    assert scoring["judge"] == {"model": "teacher@1", "prompt": GRADE, "schema": AnswerVerdict.as_schema()} | {
        "unreadable": {"base": len(unread)}
    }
    assert 0 < len(unread) < scoring["by"]["judge"]
    assert not any(one["right"] for one in unread)
    assert f"warning: {len(unread)} of {scoring['by']['judge']} verdicts on base cannot be read" in said
    assert "chance" not in results, "not all questions have options"
    assert list(results["chances"]) == ["tasks"]
    assert list(results["chances"]["tasks"]) == ["letter"], "all of these have"
    assert 25 <= results["chances"]["tasks"]["letter"] <= 33.4
    asked = {one["task"]: one for one in lines}
    assert [asked[way["task"]]["scoring"] for way in WAYS] == [way["scoring"] for way in WAYS]
    assert not any(one["right"] for one in lines if one["task"] == "word")
    assert all(one["right"] == ("sand" in one["answers"]) for one in lines if one["task"] == "sentence")
    given = [one for one in lines if "everywhere" in one.get("options", [])]
    drawn = [one for one in lines if one["task"] == "letter" and one not in given]
    assert all(len(one["options"]) == 3 for one in given)
    assert all(len(one["options"]) == 4 for one in drawn)
    assert all(set(one["answers"]) <= set(one["options"]) for one in drawn)
    assert results["tasks"]["questions"] == {way["task"]: scoring["by"][way["scoring"]] for way in WAYS}
    assert set(results["intervals"]) == {"needle", "tasks"}
    low, high = results["intervals"]["tasks"]["base"]["sentence"]
    assert low <= results["tasks"]["accuracy"]["base"]["sentence"] <= high
    assert results["against_base"] == {"needle": {}, "tasks": {}}
    choices = [one for one in lines if one["scoring"] == "choice"]
    lost = sum("sand" not in one["options"] for one in choices)
    assert lost
    assert f"warning: {lost} of {len(choices)} replies of base to questions with options name none of them" in said
    print_tables(results, as_json=False)
    assert "An answer to" in capsys.readouterr().out


@pytest.mark.parametrize("letters", ["greedy", "likelihood"])
def test_the_letter_is_read_or_the_likeliest(
    letters: str, test_world: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that always says A, and one that has no letters, are right by chance, in every group alike."""
    prompts = []

    def always(model: Any, processor: Any, batch: list[Request], *_: Any) -> list[Answer]:
        prompts.extend(request.text for request in batch)
        return [Answer("A")] * len(batch)

    monkeypatch.setattr(local, "answer", always)
    size = 60 if letters == "greedy" else 4
    recipe = load(test_world, "scoring.by=choice", f"scoring.letters={letters}", f"grid.questions={size}")
    results = evaluate(recipe, tmp_path / "out", {"it": trained})
    assert (results["chance"], results["scoring"]["letters"]) == (25.0, letters)
    assert results["chances"] == {"needle": {"1": 25.0}}
    assert bool(prompts) is (letters == "greedy")
    replies = [json.loads(line)["reply"] for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert set(replies) <= set("ABCD")
    if letters == "greedy":
        assert results["needle"]["base"] == {"1": 25.0}
        assert all(text.endswith("from the given choices directly.") for text in prompts)
        change = results["against_base"]["needle"]["it"]["1"]
        assert (change["change"], change["gained"], change["lost"], change["p"]) == (0.0, 0, 0, 1.0)
        assert change["interval"][0] < 0 < change["interval"][1]


def test_a_suffix_is_asked_and_journalled(test_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    ask = Journal.ask
    monkeypatch.setattr(
        Journal, "ask", lambda self, writer, requests, bar: texts.extend(requests) or ask(self, writer, requests, bar)
    )
    monkeypatch.setattr(local, "answer", lambda *inputs: [Answer("red")] * len(inputs[2]))
    evaluate(load(test_world, "scoring.suffix='Answer with one word.'", "grid.questions=2"), tmp_path / "out")
    assert texts
    assert all(request.text.endswith("?\nAnswer with one word.") for request in texts)


def test_a_judge_that_cannot_be_had_is_told_before_anything_is_asked(
    test_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "read_exam", lambda *_: pytest.fail("it must be told before"))
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    server = ["scoring.judge.endpoint={url: 'http://localhost:1/v1', api_key_env: NO_SUCH_KEY}"]
    for more, said in (([], "no/where"), (server, "NO_SUCH_KEY")):
        recipe = load(test_world, "scoring.by=judge", "scoring.judge.model=no/where", *more)
        with pytest.raises(LongVPOError, match=said):
            evaluate(recipe, tmp_path / "out")
        assert said in plan_evaluation(recipe)["judge_is"]
    assert not (tmp_path / "out").exists()


def test_too_few_questions_say_why(mixed: Path) -> None:
    rows = [json.loads(line) for line in (mixed / "metadata.jsonl").read_text().splitlines()]
    lines = (f"{json.dumps(row | {'scoring': '', 'options': ['a', 'b']})}\n" for row in rows)
    (mixed / "metadata.jsonl").write_text("".join(lines))
    with pytest.raises(LongVPOError, match=r"has 0 readable.*60 cannot be used, the first: .* is not one of its"):
        evaluate(load(mixed), mixed / "out")


def test_a_way_of_scoring_that_meets_no_row_is_said(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in (mixed / "metadata.jsonl").read_text().splitlines()]
    lines = (json.dumps(row | {"scoring": "", "options": [row["answer"], "none"]}) for row in rows)
    (mixed / "metadata.jsonl").write_text("\n".join(lines))
    for by, warned in (("contains", True), ("choice", False), ("exact", False)):
        assert plan_evaluation(load(mixed, f"scoring.by={by}"))["scoring"] == {by: 0} | {"choice": 60}
        said = "warning: scoring.by=contains meets no row: each has `options` or `scoring` in its table"
        assert (said in capsys.readouterr().err) is warned
