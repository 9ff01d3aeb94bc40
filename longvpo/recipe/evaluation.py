"""What the recipe of an evaluation may say."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import Field, model_validator

from longvpo.recipe.sections import FilterSection, ModelSection, Section, SourceSection, VideoSection, WriterSection

Scoring = Literal["exact", "contains", "choice", "judge"]
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
LETTERS = "ABCDEFGH"  # of options; after these comes I, which is a word


class ScoringSection(Section):
    """What is asked with a question, and when an answer is right.

    A table says it for single rows in the columns `scoring` (as `by`), `options` (a list; the answer is one of them,
    or its letter) and `task` (accuracy is counted for each).
    """

    by: Scoring = Field(
        "exact",
        description="exact: it equals a true answer after case and punctuation are taken away; contains: it has a "
        "true answer among its words; choice: it names the letter of a true option; judge: a model says so",
    )
    suffix: str = Field("", description="a line after each question without options, such as Answer with one word.")
    options: int = Field(
        4,
        ge=2,
        le=len(LETTERS),
        description="with choice: the true answer and others, which are answers of other clips",
    )
    letters: Literal["greedy", "likelihood"] = Field(
        "greedy", description="with choice: the letter is read in a reply, or is the likeliest after the prompt"
    )
    judge: WriterSection | None = Field(None, description="the model that judges, on this machine or behind a server")

    @model_validator(mode="after")
    def _somebody_judges(self) -> ScoringSection:
        if self.by == "judge" and self.judge is None:
            raise ValueError("`by: judge` needs a model that judges: set `judge.model`")
        return self


class MultiSection(Section):
    """Questions about whole long videos whose answers lie in several scenes, counted by the number of scenes."""

    source: SourceSection = Field(description="its table has `question`, `answer` and the column `group`")
    group: str = Field("scenes", description="accuracy is counted for each value of this column")


class GridSection(Section):
    """The needle grid: questions about one clip, hidden at several depths among more and more others."""

    clips: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    depths: int = Field(5, ge=2, description="bins from the first place to the last")
    questions: int = Field(60, gt=0, description="questions a cell")


class EvaluateRecipe(Section):
    builtin = "evaluate"
    later: ClassVar = ("scoring",)
    name: str
    seed: int = 0
    base: ModelSection
    source: SourceSection = Field(description="a folder whose table has `question` and `answer` beside `caption`")
    video: VideoSection = VideoSection()
    filters: FilterSection = FilterSection()
    grid: GridSection = GridSection()
    multi: MultiSection | None = Field(None, description="null: only the grid")
    scoring: ScoringSection = ScoringSection()
    batch_size: int = Field(8, gt=0)
    max_new_tokens: int = Field(32, gt=0)
