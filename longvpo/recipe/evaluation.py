"""What the recipe of an evaluation may say."""

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

    clips: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        (1, 2, 4, 8, 16, 32), min_length=1, description="clips a context, a column of the table each"
    )
    depths: int = Field(5, ge=2, description="bins from the first place to the last")
    questions: int = Field(60, gt=0, description="questions a cell")


class TripletSection(Section):
    """Held-out triplets: how often a model finds the chosen answer likelier than the rejected one, and by how much."""

    speaking: ClassVar = {"dataset": ("revision", "columns")}
    later: ClassVar = ("columns",)
    dataset: IdOrFolder = Field(
        description="a folder that build-dataset made, or a Hub dataset id; or pairs of others, as in a training"
    )
    columns: PairSection | None = Field(
        None, description="the columns of pairs of others; null: the dataset is ours, or of a shape that is known"
    )
    configs: dict[str, Reference] = Field(
        {"stage1": "anchor"},
        min_length=1,
        description="the configs that are read, each with what the base sees as the reference of an adapter's "
        "implicit reward: the first clip of `anchors`, all of them (relevant), or the context (full)",
    )
    split: str = Field("train", description="of the configs")
    revision: str = Field("main", description=REVISION)
    videos: dict[str, FolderPath] = Field(
        {}, description="folder of the videos of each source; of others the frames that the dataset published are read"
    )
    frame_budget: int | None = Field(
        None, gt=0, description="frames a context; one with more is thinned evenly; null: all"
    )
    rows: int | None = Field(None, gt=0, description="rows of each config, drawn at random; null: all")


class EvaluateRecipe(Section):
    """A base and its adapters, measured on videos that no training has shown."""

    builtin = "evaluate"
    later: ClassVar = ("scoring", "triplets")
    name: ResultName = Field(description="of the result: its folder")
    seed: int = Field(0, ge=0, le=SEEDS, description="questions, distractors and places are drawn from it")
    base: ModelSection = Field(description="the model that is measured, alone and with each adapter")
    source: SourceSection = Field(description="a folder whose table has `question` and `answer` beside `caption`")
    video: VideoSection = Field(VideoSection(), description="how clips become frames, as in training")
    filters: FilterSection = Field(FilterSection(), description="which clips may not stand beside each other")
    grid: GridSection = Field(GridSection(), description="the needle grid")
    multi: MultiSection | None = Field(None, description="null: only the grid")
    scoring: ScoringSection = Field(ScoringSection(), description="how a question is put, and when an answer is right")
    triplets: TripletSection | None = Field(None, description="null: none")
    batch_size: int = Field(8, gt=0, description="questions that are answered together")
    max_new_tokens: int = Field(32, gt=0, description="tokens of an answer")
