"""The frames of a dataset's clips: in folders, kept on disk, or published with it.

The rule: one way for all that read a dataset. No picture is decoded, and none is in memory, before it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.clips.stored import check_there, config_names, load_rows
from longvpo.errors import LongVPOError, VideoError
from longvpo.io.private import cut
from longvpo.io.records import Record, read_record
from longvpo.recipe.sections import JPEG_QUALITY, VideoSection
from longvpo.video.frames import ClipFrames

ABOUT = {"stage1": "clips", "stage2": "scenes"}  # where the clips of a config's contexts are described
NAMES = ("source", "video", "start", "end")  # what names a clip
NOT_SEEN = ("backend", "cache_gb", "workers", "frames", "frames_gb")  # keys of `video` that change no frame
SAMPLED = ("fps", "max_frames", "short_side")  # keys of `video` that frames were published by


class PublishedFrames:
    """The pictures in the column `frames` of configs `clips` and `scenes`, as video.kept.Published.

    Args:
        dataset: its name, for messages.
        tables: rows of those configs, as datasets.Dataset.
        quality: JPEG quality of the pictures.
        otherwise: keys of `video` that say other frames than these, each with the value that says these.
    """

    def __init__(self, dataset: str, tables: list[Any], quality: int, otherwise: Mapping[str, Any]) -> None:
        from pyarrow import compute

        self.dataset, self.quality, self.otherwise = dataset, quality, otherwise
        self.tables = [table for table in tables if "frames" in table.column_names]
        self._rows: dict[tuple[Any, ...], tuple[int, int, int]] = {}  # table, row and number of frames of a clip
        for number, table in enumerate(self.tables):
            counts = compute.list_value_length(table.data.column("frames")).to_pylist()
            clips = zip(*(table[name][:] for name in NAMES), strict=True)
            self._rows |= {clip: (number, row, counts[row] or 0) for row, clip in enumerate(clips)}

    def has(self, clip: Mapping[str, Any]) -> bool:
        """Whether a clip's frames were published. Raises LongVPOError where a recipe says other frames than these."""
        there = bool(self._rows.get(_named(clip), (0, 0, 0))[2])
        if there and self.otherwise:
            mend = " ".join(f"video.{name}={value}" for name, value in self.otherwise.items())
            raise LongVPOError(
                f"the frames that {self.dataset} published of source {clip['source']} are others than this recipe's: "
                f"set {mend}, or set data.videos.{clip['source']} to the folder of its videos"
            )
        return there

    def count(self, clip: Mapping[str, Any]) -> int:
        """The number of frames of a clip."""
        return self._rows[_named(clip)][2]

    def pictures(self, clip: Mapping[str, Any], places: np.ndarray | None = None) -> list[bytes]:
        """The pictures of a clip, or those at some places; no others are read."""
        table, row, count = self._rows[_named(clip)]
        cells = self.tables[table].data.column("frames")[row].values
        found = [cells[place]["bytes"].as_py() for place in (range(count) if places is None else places.tolist())]
        if None in found:
            raise VideoError(f"a published picture of {cut(str(clip['video']))} is missing")
        return found


def frames_of_dataset(
    dataset: str, revision: str | None, configs: Iterable[str], section: VideoSection, folders: Mapping[str, Path]
) -> ClipFrames:
    """The frames of the clips in the contexts of a dataset.

    Args:
        configs: those whose rows are read.
        folders: folder of each source's videos; for a source without a folder, the published frames are read.

    Raises:
        LongVPOError: the dataset's clips cannot be loaded.
    """
    try:
        recipe = recipe_of(dataset, revision)
        sources = {source["name"] for source in (*recipe["sources"], *((recipe["stage2"] or {}).get("sources", ())))}
        theirs = sampling_in(recipe)
    except Exception:  # errors of huggingface_hub and its HTTP client have no common base; it is not longvpo's
        return ClipFrames(section, folders)
    if section.frames is None and sources <= set(folders):
        return ClipFrames(section, folders)
    wanted = {ABOUT[config] for config in configs if config in ABOUT} or set(ABOUT.values())
    there = sorted(wanted & set(config_names(dataset, revision)))
    tables = [load_rows(dataset, about, "train", revision) for about in there]
    hashes = {
        (source, video): sha256
        for table in tables
        if "sha256" in table.column_names
        for source, video, sha256 in zip(*(table[name][:] for name in ("source", "video", "sha256")), strict=True)
    }
    quality = theirs.jpeg_quality or JPEG_QUALITY
    otherwise = {name: getattr(theirs, name) for name in SAMPLED if getattr(theirs, name) != getattr(section, name)}
    if section.frames and section.frames_quality != quality:
        otherwise["frames_quality"] = quality
    return ClipFrames(section, folders, hashes, PublishedFrames(dataset, tables, quality, otherwise))


def differing(dataset: str, revision: str | None, video: VideoSection, ours: str) -> dict[str, dict[str, Any]]:
    """The keys of `video` in which a dataset's recipe and this section differ. Then models see other frames than the
    writer saw. None where the dataset is not longvpo's.

    Args:
        ours: the name for this section's values; those of the dataset are called `dataset`.
    """
    theirs = sampling_of(dataset, revision)
    if theirs is None:
        return {}
    both = {name: {"dataset": getattr(theirs, name), ours: value} for name, value in video}
    both["frames_quality"] = {"dataset": theirs.jpeg_quality, ours: video.jpeg_quality}
    return {name: said for name, said in both.items() if name not in NOT_SEEN and said["dataset"] != said[ours]}


def told_differing(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The warning about keys that are `differing`."""
    told = {name: ["null" if value is None else value for value in said.values()] for name, said in found.items()}
    both = ", ".join(f"video.{name} {theirs}, not {ours}" for name, (theirs, ours) in told.items())
    mend = " ".join(f"video.{name}={theirs}" for name, (theirs, _) in told.items())
    return f"the dataset's answers were written from other frames, at {both}: unless that is meant, set {mend}"


def sampling_of(dataset: str, revision: str | None) -> VideoSection | None:
    """How a dataset's writer saw its videos, by the recipe beside its rows; None where it is not longvpo's."""
    try:
        return sampling_in(recipe_of(dataset, revision))
    except Exception:  # errors of huggingface_hub and its HTTP client have no common base
        return None


def sampling_in(recipe: Mapping[str, Any]) -> VideoSection:
    """The section `video` of a dataset's recipe."""
    return VideoSection(**recipe["video"])


def recipe_of(dataset: str, revision: str | None) -> Record:
    """The recipe beside the rows of a dataset that longvpo built. Raises what huggingface_hub raises."""
    return read_record(beside(dataset, revision, "recipe.yaml"))


def beside(dataset: str, revision: str | None, name: str) -> Path:
    """A file beside the rows of a dataset; what lies here, a table too, is never asked for on the Hub.

    Raises LongVPOError where a name is of no dataset, and what huggingface_hub raises.
    """
    from huggingface_hub import hf_hub_download

    if Path(dataset).exists():  # a table has no file beside its rows, and reading one fails
        return Path(dataset) / name
    check_there(dataset)
    return Path(hf_hub_download(dataset, name, repo_type="dataset", revision=revision))


def _named(clip: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(clip[name] for name in NAMES)
