"""Who works on a build, and what they are asked about clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from longvpo.clips import request
from longvpo.clips.rows import Clip, Refusal
from longvpo.models.embed import Embedder
from longvpo.models.journal import Journal
from longvpo.models.named import check_writer, writer_of
from longvpo.models.text import Expected
from longvpo.models.writer import Answer, Request, Writer
from longvpo.recipe.dataset import DatasetRecipe, Stage2Section
from longvpo.recipe.sections import WriterSection
from longvpo.video.frames import ClipFrames

Role = Literal["writer", "judge", "question_writer"]


@dataclass
class Session:
    """Who works on a build: the models, and the journal through which they are asked."""

    recipe: DatasetRecipe
    writer: Writer
    judge: Writer | None
    question_writer: Writer  # stage 2's; it sees only captions
    embedder: Embedder
    journal: Journal
    frames_of: ClipFrames
    second: Writer | None = None  # captions and answers in stage 2, where that is another one

    def of_stage(self, stage: int) -> Session:
        """The session as a stage sees it: its own writer is the writer."""
        return replace(self, writer=self.second) if stage == 2 and self.second else self

    @property
    def judges_answers(self) -> bool:
        """Whether a judge says what other answers are right as well."""
        return self.judge is not None and self.recipe.filters.judge_rejected

    def ask(self, requests: list[Request], progress: str, counts: Counter[str], name: Role = "writer") -> list[Answer]:
        """Answers in order; `counts` gains tokens and forms."""
        asked = {"writer": self.writer, "judge": self.judge, "question_writer": self.question_writer}[name]
        assert asked is not None, "nobody asks a judge that a recipe does not have"
        answers = self.journal.ask(asked, requests, progress)
        for answer in answers:
            tokens = {"prompt_tokens": answer.prompt_tokens or 0, "completion_tokens": answer.completion_tokens or 0}
            gained = {"calls": 1, **tokens, f"form_{answer.form}": 1}
            counts.update({f"{name}_{key}": number for key, number in gained.items()})
        return answers


def clip_request(
    clips: Sequence[Clip],
    session: Session,
    text: str,
    seed: int = 0,
    temperature: float = 0.0,
    expects: type[Expected] | None = None,
) -> Request:
    """A request about clips that are shown one after the other; more frames than the frame budget are thinned."""
    budget = session.recipe.context.frame_budget
    return request.clip_request(clips, session.frames_of, text, budget, seed, temperature, expects)


def failed(answer: Answer) -> Refusal | None:
    """The refusal of what has no answer that can be used."""
    reasons = {"writer": f"no answer: {answer.error}", "cut": answer.error, "empty": "the answer is empty"}
    return Refusal(answer.flaw, reasons[answer.flaw], 0.0) if answer.flaw else None


def no_caption(answer: Answer, what: str) -> Refusal | None:
    """The refusal of a clip or a long video of which `what` was not written."""
    refusal = failed(answer)
    if refusal is None:
        return None
    return Refusal("cut" if refusal.filter == "cut" else "caption", f"it has no {what}: {refusal.reason}", 0.0)


def check_writers(recipe: DatasetRecipe, given: dict[str, Writer | None]) -> None:
    """Look at the configurations of the models that are on this machine.

    Raises:
        LongVPOError: one cannot be had, or the writer takes no video.
    """
    two = recipe.stage2
    sections = {"writer": recipe.writer if recipe.stage1 else stage2_writer(recipe), "judge": recipe.judge}
    sections |= {"question_writer": two.question_writer if two else None, "second": two.writer if two else None}
    for name, section in sections.items():
        there = given["writer" if name == "second" else name]
        if there or section is None or section.endpoint or section.model == STORY_QUESTIONS:
            continue
        check_writer(section, sees=name in ("writer", "second"))


def open_session(
    recipe: DatasetRecipe,
    given: dict[str, Writer | None],
    embedder: Embedder | None,
    journal: Journal,
    frames_of: ClipFrames,
) -> Session:
    """The models; one that has two roles is loaded once."""
    loaded: list[tuple[WriterSection, Writer]] = []

    def writer(name: str, section: WriterSection) -> Writer:
        one = given[name] or next((one for known, one in loaded if known == section), None)
        one = one or make_writer(section)
        loaded.append((section, one))
        return one

    second = writer("writer", stage2_writer(recipe)) if recipe.stage2 else None
    first = writer("writer", recipe.writer) if recipe.stage1 or second is None else second
    judge = writer("judge", recipe.judge) if recipe.judge else given["judge"]
    asker = writer("question_writer", question_section(recipe, recipe.stage2)) if recipe.stage2 else first
    embedder = embedder or Embedder(recipe.filters)
    return Session(recipe, first, judge, asker, embedder, journal, frames_of, None if second is first else second)


STORY_QUESTIONS = "tiny-questions"  # the name under which a recipe asks for the drawn world's own question writer


def make_writer(section: WriterSection) -> Writer:
    """The recipe's writer or judge: behind its endpoint, or on this machine."""
    if section.model == STORY_QUESTIONS:
        from longvpo.tiny.questions import StoryQuestions

        return StoryQuestions()
    return writer_of(section)


def question_section(recipe: DatasetRecipe, section: Stage2Section) -> WriterSection:
    """Who writes the questions: the recipe's own choice, or a language model that is there, or the writer."""
    return section.question_writer or recipe.judge or stage2_writer(recipe)


def stage2_writer(recipe: DatasetRecipe) -> WriterSection:
    """Who captions scenes and answers in stage 2."""
    return (recipe.stage2 and recipe.stage2.writer) or recipe.writer
