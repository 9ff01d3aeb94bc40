"""What a model is asked about a video, and whether its reply is right.

`exact` and `contains` are rules about words (words.py), `choice` is one about letters (letters.py). With `judge`, a
model says it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from longvpo.clips.cells import cell, is_empty, question_of, shown, texts_of
from longvpo.errors import VideoError
from longvpo.evaluation.letters import option_of
from longvpo.evaluation.words import contains, exact, overlap
from longvpo.models.text import normalise
from longvpo.recipe.evaluation import LETTERS, SCORINGS, Scoring, ScoringSection

CHOOSE = "Answer with the option's letter from the given choices directly."
COLUMNS = ("scoring", "options", "task")  # a table may have these beside question and answer
NOTHING_TO_CHOOSE = "no other video of its task has another answer: give it `options`"
LETTERED = re.compile(rf"\(?(?P<letter>[{LETTERS}])[.):]\s*(?P<text>\S.*)", re.DOTALL)
LOOKED_AT = 200  # other questions among whose answers options are searched


@dataclass(frozen=True)
class ExamQuestion:
    """A question with its right answers, each of which is right by itself.

    Attributes:
        scoring: when a reply is right.
        options: with `choice`, what there is to choose from, in its order; the right answers among them.
        task: accuracy is counted for each; empty where the table says none.
        suffix: a line after it, where it has no options.
    """

    question: str
    answers: tuple[str, ...]
    scoring: Scoring = field(default="exact", kw_only=True)
    options: tuple[str, ...] = field(default=(), kw_only=True)
    task: str = field(default="", kw_only=True)
    suffix: str = field(default="", kw_only=True)

    @property
    def lacks_options(self) -> bool:
        """Whether there should be something to choose from, and is not."""
        return self.scoring == "choice" and not self.options

    @property
    def prompt(self) -> str:
        """What a model is asked: the question, and on lines of their own its options, or the suffix."""
        if self.options:
            lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False)]
            return "\n".join([self.question, *lines, CHOOSE])
        return "\n".join(filter(None, [self.question, self.suffix]))


def is_right(asked: ExamQuestion, said: str) -> bool:
    """Whether a reply is right by a rule; that a judge decides is nothing to ask here."""
    if asked.scoring == "choice":
        place = option_of(said, asked.options)
        return place is not None and exact(asked.options[place], asked.answers)
    return (contains if asked.scoring == "contains" else exact)(said, asked.answers)


def chance(asked: ExamQuestion) -> float | None:
    """How often a model is right that draws an option; None of a question without options."""
    right = sum(exact(option, asked.answers) for option in asked.options)
    return right / len(asked.options) if asked.options else None


Question = TypeVar("Question", bound=ExamQuestion)


def read_question(row: dict[str, Any], video: str, section: ScoringSection) -> ExamQuestion:
    """The question in a table's row. Its columns `scoring`, `options` and `task` may say more than the recipe does.

    A row with options is scored by `choice`, unless it says otherwise.

    Args:
        video: the video that the row is about.

    Raises:
        VideoError: question or answer is missing, or a column says what cannot be.
    """
    question, answers = question_of(_read_json(row, "answer"), video)
    options, said = _listed(row, video), " ".join(texts_of(row, "scoring", video)).lower()
    scoring = said or ("choice" if options else section.by)
    if scoring not in SCORINGS:
        raise VideoError(f"{video}: its scoring is {shown(said)}: give {', '.join(SCORINGS)}, or leave it empty")
    if scoring == "judge" and section.judge is None:
        raise VideoError(f"{video} asks for a judge, and the recipe names none: set scoring.judge.model")
    if scoring == "choice" and options:
        options, answers = given_options(options, answers, video)
    task = " ".join(texts_of(row, "task", video))
    options = options if scoring == "choice" else ()
    return ExamQuestion(question, answers, scoring=scoring, options=options, task=task, suffix=section.suffix)


def _read_json(row: dict[str, Any], column: str) -> dict[str, Any]:
    """A row whose cell of this column is a list, where its text is one in JSON, as in a csv table."""
    value = row.get(column)
    if not isinstance(value, str) or not value.strip().startswith("["):
        return row
    try:
        return row | {column: json.loads(value)}
    except ValueError:
        return row


def _listed(row: dict[str, Any], video: str) -> tuple[str, ...]:
    """A row's options. None of them goes away, or the next ones would have other letters."""
    value = cell(_read_json(row, "options"), "options")
    if isinstance(value, str) and value.strip().startswith("["):
        raise VideoError(f"{video}: its options are not a list in JSON: {shown(value)}")
    if not isinstance(value, list):
        return texts_of(row, "options", video)
    while value and is_empty(value[-1]):  # other rows of the table have more
        value = value[:-1]
    if any(map(is_empty, value)):
        raise VideoError(f"{video}: its options {shown(value)} have an empty one: leave it out, or give it a text")
    return tuple(" ".join(texts_of({"options": one}, "options", video)) for one in value)


def given_options(
    options: tuple[str, ...], answers: tuple[str, ...], video: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The options of a table's row, and its right answers by their texts: a row may name them by their letters, and
    letters may stand before the texts (`A. red`), which are left out.

    Raises:
        VideoError: there are too few or too many options, two are the same, or an answer is not one of them.
    """
    if not 2 <= len(options) <= len(LETTERS):
        raise VideoError(f"{video}: the number of its options is {len(options)}: give 2 to {len(LETTERS)}, as a list")
    if any(exact(one, options[:place]) for place, one in enumerate(options)):
        raise VideoError(f"{video}: two of its options are the same but for case and punctuation")
    lettered = [LETTERED.match(one) for one in options]
    if all(one and one["letter"] == letter for one, letter in zip(lettered, LETTERS, strict=False)):
        return given_options(
            tuple(one["text"] for one in lettered if one),
            tuple(LETTERED.sub(r"\g<text>", one) for one in answers),
            video,
        )
    texts = []
    for answer in answers:
        same = [one for one in options if exact(one, (answer,))]
        letter = answer.strip().strip("().").upper()
        if not same and len(letter) == 1 and letter in LETTERS[: len(options)]:
            same = [options[LETTERS.index(letter)]]
        if not same:
            raise VideoError(f"{video}: its answer {shown(answer)} is not one of its options, nor a letter of one")
        texts += same
    return options, tuple(dict.fromkeys(texts))


def with_options(asked: Sequence[Question], about: Sequence[str], number: int, seed: int) -> list[Question]:
    """The questions, those that are scored by `choice` with as many options as `number`, where they have none.

    The others than the true one are answers to questions of the same task about other videos, those first whose
    questions share most words with it. None has a right answer among its words, or is among theirs. A question whose
    answer is yes or no has these two. The true option stands equally often at each place. Where a table has too few
    answers, fewer options are given; where it has none, the question keeps none.

    Args:
        about: the video of each question.
        seed: all is drawn by it.
    """
    rng = np.random.default_rng([seed, number])
    without = [index for index, one in enumerate(asked) if one.scoring == "choice" and not one.options]
    places = rng.permutation(len(without))
    texts = [set(normalise(one.question).split()) for one in asked]
    found = list(asked)
    for index, place in zip(without, places, strict=True):
        one = asked[index]
        true = one.answers[int(rng.integers(len(one.answers)))]
        others: list[str] = []
        if normalise(true) in ("yes", "no"):
            other = true.lower().replace(*(("yes", "no") if normalise(true) == "yes" else ("no", "yes")))
            others = [other.capitalize() if true[0].isupper() else other]  # written alike, or that tells them apart
        else:
            drawn = rng.permutation(len(asked))[:LOOKED_AT]
            alike = [len(texts[index] & texts[other]) / max(len(texts[index] | texts[other]), 1) for other in drawn]
            for other in drawn[np.argsort(alike, kind="stable")[::-1]]:
                if about[other] == about[index] or asked[other].task != one.task or len(others) == number - 1:
                    continue
                option = asked[other].answers[0]
                if not any(overlap(option, known) for known in (*one.answers, *others)):
                    others.append(option)
        if others:
            others.insert(int(place) % (len(others) + 1), true)
            found[index] = replace(one, options=tuple(others))
    return found
