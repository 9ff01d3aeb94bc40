"""Drafts of both stages: what they have in common, and which questions and pairs of answers are let in.

Whether two answers mean the same the judge decides, where a recipe names one, and else their words (sameness.py).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from longvpo.clips.rows import Clip, Dropped, Refusal, Triplet
from longvpo.dataset.sameness import say_the_same
from longvpo.dataset.session import Session
from longvpo.models.text import normalise
from longvpo.recipe.file import recipe_hash
from longvpo.recipe.sections import FilterSection

# answers that say nothing about the video; matched against normalised text
SAYS_NOTHING = re.compile(
    r"^(i am|im|i apologize|i cannot|i cant|i dont|i do not|sorry|unfortunately|as an ai)\b"
    r"|\b(cannot|can not|cant|could not|unable to) (be )?"
    r"(determine|determined|tell|answer|answered|see|provide|identify)\b"
    r"|\b(is|are|was|were) not (shown|visible|mentioned|specified|provided|depicted)\b"
    r"|\b(isnt|arent|wasnt|werent) (shown|visible|mentioned|specified|provided|depicted)\b"
    r"|\b(video|clip) (does|do|did) ?nt?( not)? (show|mention|provide|depict|contain)\b"
    r"|\bno (information|indication|mention)\b"
)

TOGETHER = 1 << 14  # questions that were let in, compared to others in one product
MARGIN = 1e-3  # margin of cosines, because products may round differently
SLACK = 2  # rows by which an answer may be ahead on one side, beside what chance explains


@dataclass
class Draft:
    """A triplet in the making; once it has a refusal no later step touches it."""

    stage: ClassVar[int]
    number: int
    seed: int
    _: KW_ONLY
    question: str = ""
    prompt: str = ""
    chosen: str = ""
    rejected: str = ""
    refusal: Refusal | None = None

    @property
    def id(self) -> str:
        return f"stage{self.stage}-{self.number:06d}"

    def triplet(self, session: Session, context: Sequence[Clip], outside: Sequence[Clip], **more: Any) -> Triplet:
        """The row that it becomes.

        Args:
            outside: the clips that the rejected answer was written from.
            more: the columns that only its stage has.
        """
        return Triplet(
            id=self.id,
            stage=self.stage,
            prompt=self.prompt,
            chosen=self.chosen,
            rejected=self.rejected,
            context=[clip.reference for clip in context],
            rejected_clips=[clip.reference for clip in outside],
            writer=session.writer.name,
            judge=session.judge.name if session.judge else "",
            seed=self.seed,
            recipe=recipe_hash(session.recipe),
            **more,
        )

    def dropped(self, refusal: Refusal, context: Sequence[Clip], anchors: list[int]) -> Dropped:
        """The row that is left of it."""
        pair = {name: getattr(self, name) for name in ("prompt", "chosen", "rejected")}
        where = {"context": [clip.reference for clip in context], "anchors": anchors}
        return refusal.dropped(self.id, pair | where)


DraftType = TypeVar("DraftType", bound=Draft)


def no_pair(
    chosen: str, rejected: str, similarity: float, section: FilterSection, judged: bool = False
) -> Refusal | None:
    """Chosen and rejected must both say something, and must differ in words, in meaning, and not only in length.

    Args:
        similarity: cosine of the two answers.
        judged: a judge says later whether rejected means the same.
    """
    words = {"chosen": len(normalise(chosen).split()), "rejected": len(normalise(rejected).split())}
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        if not words[name]:
            return Refusal("empty", f"the {name} answer is empty", 0.0)
        said = SAYS_NOTHING.search(normalise(answer))
        if section.refusals and said:
            return Refusal("refusal", f"the {name} answer says nothing about the video: {said.group()!r}", 1.0)
    if normalise(chosen) == normalise(rejected):
        return Refusal("equal", "chosen and rejected are equal", 1.0)
    if not judged and say_the_same(chosen, rejected, similarity, section.answer_threshold):
        return Refusal("near_equal", "chosen and rejected say the same in other words", similarity)
    ratio = max(words.values()) / min(words.values())
    if section.length_ratio is not None and ratio > section.length_ratio:
        return Refusal("length_ratio", f"chosen has {words['chosen']} words, rejected {words['rejected']}", ratio)
    return None


def asked_before(question: np.ndarray, before: np.ndarray, threshold: float | None) -> Refusal | None:
    """A question that was asked of another clip is not specific to this one.

    Args:
        question: unit vector.
        before: unit vectors of the questions that were let in, of shape (n, dimension).
    """
    if threshold is None or not len(before):
        return None
    closest = float((before @ question).max())
    return (
        Refusal("near_duplicate", "nearly the same question was asked before", closest)
        if closest > threshold
        else None
    )


class Asked:
    """The questions that were let in.

    Their unit vectors lie in one array with room for more: to stack them again for each would copy gigabytes.
    """

    def __init__(self) -> None:
        self.count, self.vectors = 0, np.zeros((0, 1))

    def far(self, questions: np.ndarray, threshold: float | None) -> list[int]:
        """For each of some questions, how many of the first ones it is certainly not near to: all, or none.

        Args:
            questions: unit vectors, of shape (n, dimension).
        """
        closest = np.full(len(questions), -np.inf if threshold is not None else np.inf)
        for begin in range(0, self.count if threshold is not None else 0, TOGETHER):
            some = self.vectors[begin : min(begin + TOGETHER, self.count)]
            closest = np.maximum(closest, (some @ questions.T).max(axis=0))
        return [self.count if threshold is not None and one < threshold - MARGIN else 0 for one in closest]

    def before(self, question: np.ndarray, threshold: float | None, far: int = 0) -> Refusal | None:
        """The refusal of a question that is nearly one of them.

        Args:
            far: this many of the first ones are skipped.
        """
        near = None if threshold is None else threshold - MARGIN * bool(far)
        found = asked_before(question, self.vectors[far : self.count], near)
        return asked_before(question, self.vectors[: self.count], threshold) if found and far else found

    def add(self, question: np.ndarray) -> None:
        if self.count == len(self.vectors):
            room = np.zeros((max(2 * self.count, 64), len(question)), question.dtype)
            room[: self.count] = self.vectors
            self.vectors = room
        self.vectors[self.count] = question
        self.count += 1


class Balance:
    """How often each answer was right and wrong in the rows so far.

    An answer that is right far more often than wrong tells a model which answer to prefer without the video. Many
    models give such an answer: `yes`, or a form that only their mistakes have. An answer of its own in every row is
    never out of balance.
    """

    def __init__(self) -> None:
        self.right: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()

    def refusal(self, draft: Draft) -> Refusal | None:
        """The refusal of a draft that would bring one of its answers further out of balance than chance does."""
        for answer, is_right in ((draft.chosen, True), (draft.rejected, False)):
            one = normalise(answer)
            right, seen = self.right[one], self.seen[one]
            ahead = (2 * right - seen if is_right else seen - 2 * right) + 1
            if ahead > SLACK + math.sqrt(seen):
                times = f"right in {right} rows and wrong in {seen - right}"
                return Refusal("balance", f"{answer[:80]!r} is {times}: the answer alone would tell", ahead)
        return None

    def add(self, draft: Draft) -> None:
        for answer, is_right in ((draft.chosen, True), (draft.rejected, False)):
            self.seen[normalise(answer)] += 1
            self.right[normalise(answer)] += is_right


def alive(drafts: Sequence[DraftType]) -> list[DraftType]:
    """Those that no filter has refused."""
    return [draft for draft in drafts if draft.refusal is None]


def check_pairs(drafts: Sequence[Draft], session: Session) -> None:
    """Refuse drafts whose two answers make no pair."""
    chosen = session.embedder.texts([draft.chosen for draft in drafts])
    rejected = session.embedder.texts([draft.rejected for draft in drafts])
    for draft, one, other in zip(drafts, chosen, rejected, strict=True):
        draft.refusal = no_pair(
            draft.chosen, draft.rejected, float(one @ other), session.recipe.filters, session.judges_answers
        )
