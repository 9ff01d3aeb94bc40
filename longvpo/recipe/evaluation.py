"""The recipe of an evaluation."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from longvpo.recipe.pairs import PairSection
from longvpo.recipe.sections import (
    REVISION,
    SEEDS,
    FilterSection,
    FolderPath,
    IdOrFolder,
    ModelSection,
    ResultName,
    Section,
    VideoSection,
    WriterSection,
)
from longvpo.recipe.sources import SourceSection
from longvpo.recipe.training import Reference

Scoring = Literal["exact", "contains", "choice", "judge"]
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
LETTERS = "ABCDEFGH"  # letters of options; the next one would be I, which is a word


class ScoringSection(Section):
    """How a question is asked, and when an answer is right.

    A table may say it for each row. Its column `scoring` replaces `by`. `options` is a list; the answer is one of
    them, or its letter. Accuracy is also counted for each value of `task`.
    """

    by: Scoring = Field(
        "exact",
        description="exact: the answer equals a true answer, without case and punctuation. contains: it has a true "
        "answer among its words. choice: it names the letter of a true option. judge: a model says that it is right",
    )
    suffix: str = Field("", description="a line after each question without options, such as Answer with one word.")
    options: int = Field(
        4,
        ge=2,
        le=len(LETTERS),
        description="with choice: number of options, which are the true answer and answers of other clips",
    )
    letters: Literal["greedy", "likelihood"] = Field(
        "greedy",
        description="with choice. greedy: the letter is read in the reply. likelihood: it is the most likely letter "
        "after the prompt",
    )
    judge: WriterSection | None = Field(None, description="the model that judges, on this machine or behind a server")

    @model_validator(mode="after")
    def _somebody_judges(self) -> ScoringSection:
        if self.by == "judge" and self.judge is None:
            raise ValueError("`by: judge` needs a model that judges: set `judge.model`")
        return self


class MultiSection(Section):
    """Questions about long videos that need several scenes. Accuracy is counted by the number of scenes."""

    source: SourceSection = Field(description="a source whose table has `question`, `answer` and the column `group`")
    group: str = Field("scenes", description="accuracy is counted for each value of this column")


class GridSection(Section):
    """The needle grid: questions about one clip that is hidden at several depths among more and more clips."""

    clips: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        (1, 2, 4, 8, 16, 32), min_length=1, description="numbers of clips per context; each is a column of the table"
    )
    depths: int = Field(5, ge=2, description="places of the clip in the context, from the first bin to the last")
    questions: int = Field(60, gt=0, description="questions per cell")


class TripletSection(Section):
    """Held-out triplets: how often the model finds the chosen answer more likely, and by how much."""

    speaking: ClassVar = {"dataset": ("revision", "columns")}
    later: ClassVar = ("columns",)
    dataset: IdOrFolder = Field(
        description="a folder that build-dataset made, or a Hub dataset id; or preference pairs from another tool, as"
        " in a training"
    )
    columns: PairSection | None = Field(
        None,
        description="columns of preference pairs from another tool; null: longvpo built the dataset, or knows its "
        "columns",
    )
    configs: dict[str, Reference] = Field(
        {"stage1": "anchor"},
        min_length=1,
        description="configs to read, each with what the base sees as the reference of the implicit reward. anchor: "
        "the first clip of `anchors`. relevant: all of them. full: the whole context",
    )
    split: str = Field("train", description="split of the configs")
    revision: str = Field("main", description=REVISION)
    videos: dict[str, FolderPath] = Field(
        {}, description="folder of each source's videos; for other sources, the frames in the dataset are read"
    )
    frame_budget: int | None = Field(
        None,
        gt=0,
        description="maximum number of frames per context; a longer context is thinned evenly; null: no limit",
    )
    rows: int | None = Field(None, gt=0, description="rows of each config, drawn at random; null: all")


class EvaluateRecipe(Section):
    """A base model and its adapters, measured on videos that no training showed."""

    builtin = "evaluate"
    later: ClassVar = ("scoring", "triplets")
    name: ResultName = Field(description="name of the result, which is its folder")
    seed: int = Field(0, ge=0, le=SEEDS, description="seed of questions, distractors and places")
    base: ModelSection = Field(description="the model that is measured, by itself and with each adapter")
    source: SourceSection = Field(description="clips in a folder whose table has `question`, `answer` and `caption`")
    video: VideoSection = Field(VideoSection(), description="how clips become frames; use the values of the training")
    filters: FilterSection = Field(FilterSection(), description="which clips may share a context")
    grid: GridSection = Field(GridSection(), description="the needle grid: questions about one clip among others")
    multi: MultiSection | None = Field(None, description="questions about whole long videos; null: none")
    scoring: ScoringSection = Field(
        ScoringSection(), description="how a question is asked, and when an answer is right"
    )
    triplets: TripletSection | None = Field(None, description="held-out triplets; null: none")
    batch_size: int = Field(8, gt=0, description="questions that are answered together")
    max_new_tokens: int = Field(32, gt=0, description="maximum tokens per answer")
