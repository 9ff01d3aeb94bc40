"""What a model is asked about a video, and whether its reply is right.

`exact` and `contains` are rules about words (words.py), `choice` is one about letters (letters.py). With `judge`, a
model says it.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from longvpo.clips.cells import cell, is_empty, question_of, shown, texts_of
from longvpo.clips.tables import find_table
from longvpo.errors import VideoError
from longvpo.evaluation.letters import option_of
from longvpo.evaluation.words import END, NUMBER, contains, exact, overlap, words
from longvpo.models.text import normalise
from longvpo.recipe.evaluation import LETTERS, SCORINGS, Scoring, ScoringSection
from longvpo.recipe.sources import SourceSection

CHOOSE = "Answer with the option's letter from the given choices directly."
COLUMNS = ("scoring", "options", "task")  # a table may have these beside question and answer
NOTHING_TO_CHOOSE = "no other video of its task has another answer of its kind: give it `options`"
LETTERED = re.compile(rf"\(?(?P<letter>[{LETTERS}])[.):]\s*(?P<text>\S.*)", re.DOTALL)
LOOKED_AT = 200  # questions that are compared with one to find those alike; after them come any


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


def names_no_option(asked: ExamQuestion, said: str) -> bool:
    """Whether a reply names none of the options, or several, where it should name one."""
    return asked.scoring == "choice" and option_of(said, asked.options) is None


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
    question, answers = question_of(row, video)
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


def with_lists(source: SourceSection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A source's rows, their answers as lists where a cell of metadata.csv is one in JSON: it has no other lists.

    In other tables, which have them, a text is a text: there the answer `[5, 6]` is one, and in csv `["[5, 6]"]` is.
    """
    if source.dataset is not None or find_table(source).suffix.lower() != ".csv":
        return rows
    return [_read_json(row, "answer") for row in rows]


def _read_json(row: dict[str, Any], column: str) -> dict[str, Any]:
    """A row whose cell of this column is a list, where its text is one in JSON."""
    value = row.get(column)
    if not isinstance(value, str) or not value.strip().startswith("["):
        return row
    try:
        return row | {column: json.loads(value)}
    except ValueError:
        return row


def _listed(row: dict[str, Any], video: str) -> tuple[str, ...]:
    """A row's options: in any table a list, or its text in JSON. A single option is not allowed. None of them goes
    away, or the next ones would have other letters."""
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
    """The options of a table's row, and the texts of its right answers. A row may name the answers by their letters.
    Letters before the texts (`A. red`) are left out.

    Raises:
        VideoError: there are too few or too many options, two are the same, or an answer is not one of them.
    """
    if not 2 <= len(options) <= len(LETTERS):
        raise VideoError(f"{video}: the number of its options is {len(options)}: give 2 to {len(LETTERS)}, as a list")
    if any(exact(one, options[:place]) for place, one in enumerate(options)):
        raise VideoError(f"{video}: two of its options differ only in case and punctuation")
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

    The false options are answers of the same kind, numbers or words, to questions of the same task about other videos.
    Questions that share the most words with this one come first. None has a right answer among its words, or is among
    theirs. A question whose answer is yes or no has these two, and no other has them. The true option stands equally
    often at each place. Where a task has too few answers, fewer options are given; where it has none, the question
    keeps none.

    What it does not see: that answers of one task are about different things, such as colors and rooms.

    Args:
        about: the video of each question.
        seed: all is drawn by it.
    """
    rng = np.random.default_rng([seed, number])
    texts = [set(normalise(one.question).split()) for one in asked]
    pools: dict[tuple[str, str], list[int]] = defaultdict(list)
    videos: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))  # by answer
    for index, one in enumerate(asked):
        key = one.task, _kind(one.answers[0])
        pools[key].append(index)
        videos[key][one.answers[0]].add(about[index])
    drawn: dict[int, list[list[str]]] = defaultdict(list)  # the true option and the others, by their number
    places: dict[int, list[int]] = defaultdict(list)  # in `asked`
    for index, one in enumerate(asked):
        if not one.lacks_options:
            continue
        kind = _kind(one.answers[0])
        same = [answer for answer in one.answers if _kind(answer) == kind]
        true = same[int(rng.integers(len(same)))]
        others: list[str] = []
        if kind == "yes or no":
            no = true.lower().replace(*(("yes", "no") if normalise(true) == "yes" else ("no", "yes")))
            others = [no.capitalize() if true[0].isupper() else no]  # written alike, or that tells them apart
        else:
            key = one.task, kind
            near, said = rng.permutation(pools[key])[:LOOKED_AT], list(videos[key])
            alike = [len(texts[index] & texts[other]) / max(len(texts[index] | texts[other]), 1) for other in near]
            tried: set[str] = set()
            first = (asked[other].answers[0] for other in near[np.argsort(alike, kind="stable")[::-1]])
            for option in chain(first, (said[place] for place in rng.permutation(len(said)))):
                if len(others) == number - 1:
                    break
                if option in tried or videos[key][option] == {about[index]}:
                    continue
                tried.add(option)
                if not any(overlap(option, known) for known in (*one.answers, *others)):
                    others.append(option)
        drawn[len(others)].append([true, *others])
        places[len(others)].append(index)
    found = list(asked)
    for size in sorted(drawn.keys() - {0}):
        for index, options, place in zip(places[size], drawn[size], rng.permutation(len(drawn[size])), strict=True):
            options.insert(int(place) % (size + 1), options.pop(0))
            found[index] = replace(found[index], options=tuple(options))
    return found


def _kind(answer: str) -> str:
    """Answers of one kind may be options beside each other."""
    if normalise(answer) in ("yes", "no"):
        return "yes or no"
    said = [word.text for word in words(answer) if word.text != END]
    return "number" if len(said) == 1 and NUMBER.fullmatch(said[0]) else "words"
