"""What is asked, what stands to choose from, and what a table's columns say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.replies import CASES, Case

from longvpo.errors import VideoError
from longvpo.evaluation.scoring import ExamQuestion, chance, is_right, read_question, with_lists, with_options
from longvpo.recipe.evaluation import EvaluateRecipe, ScoringSection
from longvpo.recipe.file import load_recipe, recipe_hash
from longvpo.recipe.sources import SourceSection

PLAIN = ScoringSection()
JUDGED = ScoringSection.model_validate({"by": "judge", "judge": {"model": "someone/judge"}})


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.answers[0]}: {case.reply[:40]}")
def test_the_table(case: Case) -> None:
    ways = {"exact": case.exact, "contains": case.contains} | ({"choice": case.choice} if case.options else {})
    for way, right in ways.items():
        asked = ExamQuestion(case.question, case.answers, scoring=way, options=case.options)  # type: ignore[arg-type]
        assert is_right(asked, case.reply) is right, way


def test_what_is_asked() -> None:
    plain = ExamQuestion("What color is it?", ("red",))
    assert plain.prompt == "What color is it?"
    short = ScoringSection(suffix="Answer with one word.")
    row = {"question": "What color is it?", "answer": "red"}
    assert read_question(row, "v.mp4", short).prompt == "What color is it?\nAnswer with one word."
    chosen = read_question(row | {"options": ["blue", "red"]}, "v.mp4", short)
    assert chosen.prompt == (
        "What color is it?\nA. blue\nB. red\nAnswer with the option's letter from the given choices directly."
    )
    assert (chance(chosen), chance(plain)) == (0.5, None)


def test_a_recipe_that_does_not_say_it_is_the_one_that_it_was() -> None:
    recipe = load_recipe(EvaluateRecipe, "tiny/evaluate")
    same = load_recipe(EvaluateRecipe, "tiny/evaluate", ["scoring.by=exact", "scoring.suffix=''"])
    other = load_recipe(EvaluateRecipe, "tiny/evaluate", ["scoring.by=contains"])
    assert recipe_hash(recipe) == recipe_hash(same) != recipe_hash(other)
    assert recipe_hash(recipe.model_copy(update={"scoring": None})) != recipe_hash(recipe)
    with pytest.raises(ValidationError, match="needs a model that judges"):
        ScoringSection(by="judge")


COLORS = ("red", "blue", "sand", "green", "black", "white")


def exam(count: int, **more: Any) -> tuple[list[ExamQuestion], list[str]]:
    """Questions about colors and about places, each about a video of its own."""
    questions = [
        ExamQuestion(f"what color is the ring number {n}?", (COLORS[n % 6],), scoring="choice", **more)
        if n % 2
        else ExamQuestion(f"where is the ring number {n}?", (f"in room {n % 12}",), scoring="choice", **more)
        for n in range(count)
    ]
    return questions, [f"{n}.mp4" for n in range(count)]


def test_options_are_answers_to_questions_alike() -> None:
    asked, about = exam(120)
    found = with_options(asked, about, 3, seed=1)
    for before, one in zip(asked, found, strict=True):
        assert one.options.count(one.answers[0]) == 1
        assert (one.question, one.answers, len(set(one.options))) == (before.question, before.answers, 3)
        kinds = {option in COLORS for option in one.options}
        assert len(kinds) == 1, "colors among colors, rooms among rooms"
    assert found == with_options(asked, about, 3, seed=1), "drawn by the seed"
    assert found != with_options(asked, about, 3, seed=2)
    places = Counter(one.options.index(one.answers[0]) for one in found)
    assert set(places.values()) == {40}, "who always says A is right by chance"
    assert len({one.options for one in found}) > 40


def test_options_leave_out_what_may_be_right_too() -> None:
    asked, about = exam(30)
    asked[1] = ExamQuestion("what color is it?", ("red", "dark red"), scoring="choice")
    asked[3] = ExamQuestion("what color is it?", ("Red!",), scoring="choice")
    asked[5] = ExamQuestion("what color is it?", ("blue",), scoring="choice")
    found = with_options(asked, [*about[:5], about[1], *about[6:]], 4, seed=0)
    assert not {"red", "Red!"} <= set(found[1].options)
    mine = with_options([asked[1], asked[5], asked[9]], ["a", "a", "b"], 4, seed=0)
    assert "blue" not in mine[0].options, "no answer about the same video"
    tasks = with_options([one for task in "xy" for one in exam(6, task=task)[0]], [str(n) for n in range(12)], 4, 0)
    assert all(len(one.options) <= 4 and one.options for one in tasks)


def test_few_answers_make_few_options() -> None:
    asked = [ExamQuestion("is it open?", (said,), scoring="choice") for said in ("yes", "No.", "yes")]
    found = [set(one.options) for one in with_options(asked, list("abc"), 4, 0)]
    assert found == [{"yes", "no"}, {"Yes.", "No."}, {"yes", "no"}]
    alone = [ExamQuestion("who?", ("Ann",), scoring="choice"), ExamQuestion("who?", ("Ann",), scoring="choice")]
    assert [one.options for one in with_options(alone, list("ab"), 4, 0)] == [(), ()]
    given = ExamQuestion("who?", ("Ann",), scoring="choice", options=("Ann", "Bob"))
    exact = ExamQuestion("who?", ("Bob",))
    assert with_options([given, exact], list("ab"), 4, 0) == [given, exact]


def test_options_are_of_one_kind() -> None:
    """Yes and no are the options of their own questions alone, or guessing would be easier than it seems."""
    answers = [("open", ("yes", "No")), ("color", COLORS[:3]), ("count", ("2", "three", "4", "5", "six"))]
    asked = [
        ExamQuestion(f"{about} {n}?", (some[n % len(some)],), scoring="choice")
        for n in range(60)
        for about, some in answers
    ]
    found = with_options(asked, [f"{n}.mp4" for n in range(180)], 4, seed=0)
    for place, (_, some) in enumerate(answers):
        mine = found[place::3]
        options = {option for one in mine for option in one.options}
        assert options == {*some} | ({"Yes", "no"} if place == 0 else set())
        size = min(len(some), 4)
        assert {len(one.options) for one in mine} == {size}
        assert {chance(one) for one in mine} == {1 / size}
        places = Counter(one.options.index(one.answers[0]) for one in mine)
        assert set(places.values()) == {60 // size}, "each number of options has its own places"


def test_a_rare_task_has_options_too() -> None:
    asked, _ = exam(600)
    rare = [ExamQuestion("who is it?", (f"person {n % 5}",), scoring="choice", task="rare") for n in range(20)]
    found = with_options(asked + rare, [str(n) for n in range(620)], 4, seed=0)
    assert {len(one.options) for one in found[600:]} == {4}
    both = [ExamQuestion("who?", (one, "3"), scoring="choice") for one in ("Ann", "Bob")]
    for seed in range(4):
        assert {len(one.options) for one in with_options(both, list("ab"), 4, seed)} == {2}, "of the first one's kind"
    once = [ExamQuestion("what color?", ("red",), scoring="choice")] * 400
    once += [ExamQuestion("what color?", (one,), scoring="choice") for one in COLORS[1:4]]
    assert {len(one.options) for one in with_options(once, [str(n) for n in range(403)], 4, seed=0)} == {4}


def test_only_csv_writes_lists_as_texts(tmp_path: Path) -> None:
    rows = [{"answer": '["[5, 6]", "red"]'}, {"answer": "[5, 6]"}, {"answer": "[red]"}, {"answer": None}]
    source = SourceSection(name="mine", folder=tmp_path)
    (tmp_path / "metadata.jsonl").touch()
    assert with_lists(source, rows) == rows
    (tmp_path / "metadata.jsonl").rename(tmp_path / "metadata.csv")
    assert [one["answer"] for one in with_lists(source, rows)] == [["[5, 6]", "red"], [5, 6], "[red]", None]
    assert with_lists(SourceSection(name="hub", folder=tmp_path, dataset="someone/videos"), rows) == rows


@pytest.mark.parametrize(
    ("row", "section", "expected"),
    [
        ({}, PLAIN, {}),
        ({"task": " order ", "scoring": None, "options": []}, PLAIN, {"task": "order"}),
        ({"scoring": "Contains"}, PLAIN, {"scoring": "contains"}),
        ({"scoring": "judge"}, JUDGED, {"scoring": "judge"}),
        ({}, JUDGED, {"scoring": "judge"}),
        ({"scoring": "exact"}, JUDGED, {}),
        ({"options": ["blue", "red"]}, PLAIN, {"scoring": "choice", "options": ("blue", "red")}),
        (
            {"options": '["blue", "Red"]'},
            PLAIN,
            {"scoring": "choice", "options": ("blue", "Red"), "answers": ("Red",)},
        ),
        ({"options": ["blue", "red"], "answer": "B"}, PLAIN, {"scoring": "choice", "options": ("blue", "red")}),
        ({"options": ["blue", "red"], "answer": "(b)"}, PLAIN, {"scoring": "choice", "options": ("blue", "red")}),
        ({"answer": ["red", "dark red"]}, PLAIN, {"answers": ("red", "dark red")}),
        ({"answer": '["red", "dark red"]'}, PLAIN, {"answers": ('["red", "dark red"]',)}),
        ({"answer": "[red]"}, PLAIN, {"answers": ("[red]",)}),
        ({"options": ["blue", "red", None, " "]}, PLAIN, {"scoring": "choice", "options": ("blue", "red")}),
        *(
            (
                {"options": ["A. blue", "B. red"], "answer": one},
                PLAIN,
                {"scoring": "choice", "options": ("blue", "red")},
            )
            for one in ("red", "B", "(B)", "B. red", "B) red")
        ),
        (
            {"options": ["-5", "5", "+"], "answer": "5"},
            PLAIN,
            {"scoring": "choice", "options": ("-5", "5", "+"), "answers": ("5",)},
        ),
        ({"options": [3, 4.0, "5"], "answer": 4}, PLAIN, {"scoring": "choice", "options": ("3", "4", "5")}),
        ({"options": ["blue", "red"], "scoring": "contains"}, PLAIN, {"scoring": "contains"}),
        ({"scoring": "choice"}, PLAIN, {"scoring": "choice"}),
    ],
)
def test_columns_say_more(row: dict[str, Any], section: ScoringSection, expected: dict[str, Any]) -> None:
    found = read_question({"question": "what color?", "answer": "red"} | row, "v.mp4", section)
    default = {"answers": ("4",) if row.get("answer") == 4 else ("red",)}
    assert found == ExamQuestion(**{"question": "what color?"} | default | expected)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"scoring": "bleu"}, "v.mp4: its scoring is 'bleu': give exact, contains, choice, judge, or leave it empty"),
        ({"scoring": "judge"}, "v.mp4 asks for a judge, and the recipe names none: set scoring.judge.model"),
        ({"options": ["red"]}, "v.mp4: the number of its options is 1: give 2 to 8, as a list"),
        ({"options": list("abcdefghi")}, "v.mp4: the number of its options is 9"),
        ({"options": ["red", "Red."]}, "two of its options differ only in case and punctuation"),
        ({"options": ["red", "red", "blue"], "answer": "B"}, "two of its options differ only"),
        ({"options": ["blue", "", "red"], "answer": "B"}, "its options ['blue', '', 'red'] have an empty one"),
        ({"options": '["blue", null, "red"]', "answer": "B"}, "its options ['blue', None, 'red'] have an empty one"),
        ({"options": ["blue", "green"]}, "v.mp4: its answer 'red' is not one of its options, nor a letter of one"),
        ({"options": ["blue", "red"], "answer": "C"}, "its answer 'C' is not one of its options"),
        ({"options": "[blue, red]"}, "its options are not a list in JSON: '[blue, red]'"),
        ({"options": [{"a": 1}, "b"]}, "its options is not a text"),
        ({"task": {"a": 1}}, "its task is not a text"),
        ({"task": "half \ud800"}, "its task holds half a character"),
    ],
)
def test_columns_that_say_what_cannot_be(row: dict[str, Any], said: str) -> None:
    with pytest.raises(VideoError) as caught:
        read_question({"question": "what color?", "answer": "red"} | row, "v.mp4", PLAIN)
    assert said in str(caught.value)
