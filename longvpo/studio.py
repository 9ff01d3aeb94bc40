"""Who works on a build, and what they are asked about clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from longvpo.filters import Refusal, no_pair
from longvpo.models.embed import Embedder
from longvpo.models.journal import Journal
from longvpo.models.writer import Answer, Request, Writer
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.triplet import Clip
from longvpo.video.frames import ClipFrames, join, sample_times, thin

Role = Literal["writer", "judge", "question_writer"]


@dataclass
class Studio:
    """Who works on a build: the models, and the journal through which they are asked."""

    recipe: DatasetRecipe
    writer: Writer
    judge: Writer | None
    question_writer: Writer  # of stage 2; it sees captions alone
    embedder: Embedder
    journal: Journal
    frames_of: ClipFrames

    def ask(
        self, requests: list[Request], progress: str, counts: dict[str, int], name: Role = "writer"
    ) -> list[Answer]:
        """Answers in order; `counts` gains tokens and forms."""
        asked = {"writer": self.writer, "judge": self.judge, "question_writer": self.question_writer}[name]
        assert asked is not None, "nobody asks a judge that a recipe does not have"
        answers = self.journal.ask(asked, requests, progress)
        for answer in answers:
            for key, number in (
                (f"{name}_calls", 1),
                (f"{name}_prompt_tokens", answer.prompt_tokens or 0),
                (f"{name}_completion_tokens", answer.completion_tokens or 0),
                (f"{name}_form_{answer.form}", 1),
            ):
                counts[key] = counts.get(key, 0) + number
        return answers


def clip_request(
    clips: Sequence[Clip],
    studio: Studio,
    text: str,
    seed: int = 0,
    temperature: float = 0.0,
    schema: dict[str, Any] | None = None,
) -> Request:
    """A request about clips that are shown one after the other; more frames than the frame budget are thinned."""
    video, budget = studio.recipe.video, studio.recipe.context.frame_budget
    sampled = [sample_times(clip.start, clip.end, video.fps, video.max_frames) - clip.start for clip in clips]
    begins = np.cumsum([0.0, *(clip.end - clip.start for clip in clips)])
    shown = sampled if len(clips) == 1 else thin(sampled, budget)

    def frames() -> np.ndarray:
        read = [studio.frames_of(clip.reference) for clip in clips]
        return read[0] if len(clips) == 1 else join(thin(read, budget), 0)

    return Request(
        text=text,
        seed=seed,
        temperature=temperature,
        schema=schema,
        times=tuple(
            round(float(time), 3) for times, begin in zip(shown, begins, strict=False) for time in times + begin
        ),
        media=" + ".join(f"{clip.sha256} {clip.start:g}-{clip.end:g} {video.short_side}" for clip in clips),
        frames=frames,
    )


def failed(answer: Answer) -> Refusal | None:
    """The refusal of what has no answer that can be used."""
    reasons = {"writer": f"no answer: {answer.error}", "cut": answer.error, "empty": "the answer is empty"}
    return Refusal(answer.flaw, reasons[answer.flaw], 0.0) if answer.flaw else None


def no_caption(answer: Answer, what: str) -> Refusal | None:
    """The refusal of a clip or a long video of which `what` was not written."""
    refusal = failed(answer)
    return Refusal("caption", f"it has no {what}: {refusal.reason}", 0.0) if refusal else None


class Made(Protocol):
    """A draft of either stage."""

    chosen: str
    rejected: str
    refusal: Refusal | None


MadeType = TypeVar("MadeType", bound=Made)


def alive(drafts: Sequence[MadeType]) -> list[MadeType]:
    """Those that no filter has refused."""
    return [draft for draft in drafts if draft.refusal is None]


def check_pairs(drafts: Sequence[Made], studio: Studio) -> None:
    """Refuse drafts whose two answers make no pair."""
    chosen = studio.embedder.texts([draft.chosen for draft in drafts])
    rejected = studio.embedder.texts([draft.rejected for draft in drafts])
    for draft, one, other in zip(drafts, chosen, rejected, strict=True):
        draft.refusal = no_pair(draft.chosen, draft.rejected, float(one @ other), studio.recipe.filters)
