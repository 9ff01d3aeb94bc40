"""What the recipe of an evaluation may say."""

from __future__ import annotations

from pydantic import Field

from longvpo.recipe.sections import FilterSection, ModelSection, Section, SourceSection, VideoSection


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
    name: str
    seed: int = 0
    base: ModelSection
    source: SourceSection = Field(description="a folder whose table has `question` and `answer` beside `caption`")
    video: VideoSection = VideoSection()
    filters: FilterSection = FilterSection()
    grid: GridSection = GridSection()
    multi: MultiSection | None = Field(None, description="null: only the grid")
    batch_size: int = Field(8, gt=0)
    max_new_tokens: int = Field(32, gt=0)
