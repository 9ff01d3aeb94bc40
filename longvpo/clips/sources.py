"""Where clips come from: a folder of videos with a table, or a dataset in the Hub's form, cut into scenes on request.

The rule: listing a source reads only its table; a video is fetched and opened when its clip is needed. What cannot be
used is data: dropped with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from longvpo.clips.addresses import fetch_url
from longvpo.clips.archives import fetch_archives
from longvpo.clips.cells import cell, is_empty, says_nothing, shown, writable
from longvpo.clips.fetch import fetch_bytes, fetch_file, name_of_url
from longvpo.clips.overlap import OverlapError
from longvpo.clips.rows import Clip, Dropped
from longvpo.clips.tables import find_table, needed, read_table, stream_rows
from longvpo.errors import VideoError
from longvpo.io import private
from longvpo.io.files import file_hash, text_hash
from longvpo.io.names import check_name, composed, existing_file, video_file
from longvpo.io.remembered import remembered_hash
from longvpo.recipe.sources import SourceSection
from longvpo.video.cuts import cut_into_scenes
from longvpo.video.probe import probe

Item = TypeVar("Item")
Over = Callable[[Callable[[Any], Any], list[Any]], Iterable[Any]]

HUB_FILE = re.compile(r"hf://datasets/[^@]+@[^/]+/")  # what datasets put before a file's path in its repository


@dataclass(frozen=True)
class Candidate:
    """A row of a source whose video was not opened yet."""

    video: str  # path relative to the source's folder
    caption: str  # empty where the writer will write it
    start: float | None = None  # seconds; None: from the beginning, or to the end
    end: float | None = None
    address: str = ""  # where the video is fetched from, if it is not a path in the dataset
    row: dict[str, Any] = field(default_factory=dict, compare=False)  # the columns that were asked for beside

    def clip_id(self, source: str) -> str:
        span = (self.start or 0, "" if self.end is None else f"{self.end:g}")
        return f"{source}/{self.video}" + (f"#{span[0]:g}-{span[1]}" if any(span) else "")


def list_candidates(
    source: SourceSection,
    seed: int = 0,
    columns: tuple[str, ...] = (),
    limit: int | None = None,
    optional: tuple[str, ...] = (),
) -> tuple[list[Candidate], list[Dropped]]:
    """The rows of a source that may become clips, and those that cannot.

    Args:
        seed: draws the rows where the recipe uses a part of them.
        columns: read beside video and caption; a row without one of them is dropped.
        limit: read no more rows than this; for a look at the source.
        optional: read too, where they are there.

    Raises:
        LongVPOError: the table or the dataset cannot be read, or a column is missing.
    """
    if source.dataset is None:
        rows: Iterable[dict[str, Any]] = read_table(source, columns, optional)[:limit]
    else:
        rows = stream_rows(source, seed, columns, limit)
    candidates: dict[str, Candidate] = {}
    dropped: list[Dropped] = []
    for number, row in enumerate(tqdm(rows, desc=f"source {source.name}", leave=False)):
        try:
            candidate = _candidate(source, row, number, columns, optional)
            if candidate.clip_id(source.name) in candidates:
                raise VideoError(f"{candidate.video} is in the table twice")
            candidates[candidate.clip_id(source.name)] = candidate
        except VideoError as error:
            dropped.append(Dropped(writable(_name(source, row, number)), "table", writable(str(error))))
    return drawn(list(candidates.values()), source.clips, seed), dropped


def drawn(items: list[Item], number: int | None, seed: int) -> list[Item]:
    """So many of the items, drawn at random, in their order; None: all."""
    if number is None or len(items) <= number:
        return items
    chosen = np.random.default_rng(seed).choice(len(items), number, replace=False)
    return [items[index] for index in np.sort(chosen)]


def _name(source: SourceSection, row: dict[str, Any], number: int) -> str:
    """What to call a row that cannot be used."""
    value = cell(row, source.columns.video)
    if isinstance(value, dict):
        value = value.get("path")
    if not isinstance(value, str) or not value.strip():
        return f"row {number}"
    with suppress(VideoError):
        value = video_path(source, value, "it")
    told = private.cut(value)
    return private.last_name(told) if told.strip().startswith("\\") else told  # with the separators of Windows


def _candidate(
    source: SourceSection, row: dict[str, Any], number: int, columns: tuple[str, ...], optional: tuple[str, ...]
) -> Candidate:
    """Raises VideoError when the row says too little."""
    named = source.columns
    value = cell(row, named.video)
    address = ""
    if source.videos == "bytes":
        video = fetch_bytes(source, value, number)
    else:
        video = video_path(source, value, f"row {number}")
        if source.videos == "urls":
            address = video.strip()
            video = name_of_url(address)
    check_name(video, named.video)
    video = str(PurePosixPath(video))  # without `./`: two spellings of a path are one video
    for column in needed(source, columns)[1:]:
        value = cell(row, column)
        if says_nothing(value) if column == named.caption else is_empty(value):
            raise VideoError(f"{video} has no {column}")
        if column == named.caption and not isinstance(value, str):
            raise VideoError(f"{video}: its {column} is not a text: {shown(value)}")
    said = f"{video}{cell(row, named.caption)}"
    if writable(said) != said:
        raise VideoError(f"row {number} holds half a character: a text was truncated, or written by UTF-16")
    caption = str(cell(row, named.caption)) if source.captions == "table" else ""
    start, end = (_seconds(row, column, video) for column in (named.start, named.end))
    asked = {column: cell(row, column) for column in (*columns, *optional)}
    return Candidate(video, caption, start, end, address, asked)


def video_path(source: SourceSection, value: Any, row: str) -> str:
    """The path or the address in a cell of the video column, as the table or the dataset has it.

    Args:
        row: what a reason calls it.

    Raises:
        VideoError: the cell holds none.
    """
    column = source.columns.video
    holds_video = isinstance(value, dict) and bool(value.get("bytes"))
    if isinstance(value, dict):  # the column is a Video
        value = value.get("path")
    if source.dataset is not None and (holds_video or isinstance(value, bytes)):
        raise VideoError(f"{row} holds its video itself: set the source's `videos: bytes`")
    if is_empty(value):
        raise VideoError(f"{row} has no {column}")
    if not isinstance(value, str | int | float):
        raise VideoError(f"{row}: its {column} is not a path: {shown(value)}")
    text = str(value)
    if source.dataset is None or source.videos == "urls":
        return text
    if re.match(r"\w+://.*::", text):  # as fsspec names what an archive holds
        archive = private.cut(text.rpartition("::")[2])
        raise VideoError(f"{row}: its video is in {archive}: set `videos: zip` (or tar) and `tars`")
    text = HUB_FILE.sub("", text)  # a VideoFolder's: the paths are those of its files
    for folder in (Path(source.dataset).absolute(), Path(source.dataset).resolve()):
        if PurePath(text).is_relative_to(folder):
            text = PurePath(text).relative_to(folder).as_posix()
    return text


def _seconds(row: dict[str, Any], column: str, video: str) -> float | None:
    value = cell(row, column)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise VideoError(f"{video}: its {column} is not a number of seconds: {shown(value)}") from None


def prepare(
    source: SourceSection, candidates: list[Candidate], scenes: Path, over: Over = map
) -> tuple[list[Candidate], list[Dropped]]:
    """What must be done to all videos of a source before the first is opened: unpack archives, cut into scenes.

    Args:
        scenes: folder in which the cuts of each video are kept, so that no video is searched twice.
        over: calls a function for all items, as `map` does; on other machines, perhaps.
    """
    dropped: list[Dropped] = []
    if source.tars is not None:
        missing = fetch_archives(source, {candidate.video for candidate in candidates})
        dropped += [Dropped(video, "table", why) for video, why in missing.items()]
        candidates = [candidate for candidate in candidates if candidate.video not in missing]
    if source.scenes is None:
        return candidates, dropped
    parts: list[Candidate] = []
    for one in tqdm(over(partial(_cut, source, scenes), candidates), f"scenes of {source.name}", len(candidates)):
        if isinstance(one, Dropped):
            dropped.append(one)
        else:
            parts += one
    return parts, dropped


def _cut(source: SourceSection, kept: Path, one: Candidate) -> list[Candidate] | Dropped:
    """The scenes of a candidate, or why there are none."""
    assert source.scenes is not None, "the source is to be cut"
    try:
        spans = cut_into_scenes(fetch(source, one), source.scenes, kept, one.start or 0.0, one.end)
    except VideoError as error:
        return Dropped(one.video, "video", str(error))
    return [Candidate(one.video, one.caption, start, end, one.address) for start, end in spans]


def fetch(source: SourceSection, candidate: Candidate) -> Path:
    """The candidate's video as a file in the source's folder. Raises VideoError when it cannot be had."""
    path = video_file(source.folder, candidate.video)
    if not path.is_file():
        if candidate.address:
            fetch_url(candidate.address, path, source.private_addresses)
        elif source.dataset is not None and source.videos == "files":
            fetch_file(source, candidate.video, path)
    return existing_file(source.folder, candidate.video)


def open_clip(source: SourceSection, candidate: Candidate, overlap: frozenset[str] = frozenset()) -> Clip:
    """Fetch and open a candidate's video.

    Args:
        overlap: names as read_overlap has them, with or without suffix, and sha256 of videos that must not be used.

    Raises:
        VideoError: the video cannot be had or read, or has no such span.
        OverlapError: the video is one that must not be used.
    """
    path = fetch(source, candidate)
    seconds = probe(path).seconds  # its frames are read next: the probe is made once for both
    sha256 = remembered_hash(path)
    names = (composed(name) for name in (path.name, path.stem, candidate.video))
    for name in (*names, sha256):
        if name in overlap:
            raise OverlapError(f"{candidate.video} is on the overlap list as {name}")
    start, end = candidate.start or 0.0, seconds if candidate.end is None else candidate.end
    if not (0 <= start < min(end, seconds) and end <= seconds + 1):  # headers round their length
        raise VideoError(f"{candidate.video} has no span from {start} to {end} s: it lasts {seconds:.2f} s")
    clip_id = candidate.clip_id(source.name)
    return Clip(
        clip_id, source.name, candidate.video, start, min(end, seconds), candidate.caption, source.license, sha256
    )


def read_clips(
    source: SourceSection, columns: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> tuple[list[Clip], list[dict[str, Any]], list[Dropped]]:
    """All clips of a source, opened; the columns asked for, clip by clip; and what cannot be used.

    Args:
        optional: columns that a table may lack.
    """
    candidates, dropped = list_candidates(source, columns=columns, optional=optional)
    clips, rows = [], []
    for candidate in tqdm(candidates, desc=f"open {source.name}", leave=False):
        try:
            clips.append(open_clip(source, candidate))
            rows.append(candidate.row)
        except VideoError as error:
            dropped.append(Dropped(candidate.video, "video", str(error)))
    return clips, rows, dropped


def fingerprint_of_videos(source: SourceSection) -> str:
    """Changes with the videos of a folder that its table names; that of a dataset has none, as a revision holds it."""
    if source.dataset is not None:
        return ""
    rows = read_table(source.model_copy(update={"captions": "writer"}), ())
    names = {name for row in rows if isinstance(name := row.get(source.columns.video), str)}
    found = []
    for name in sorted(names):
        with suppress(VideoError, OSError):  # not a video, or gone: the row is dropped, or asked about as it is
            found.append([name, remembered_hash(video_file(source.folder, name))])
    return text_hash(repr(found))


def fingerprint(source: SourceSection) -> str:
    """Changes with what a source lists: the hash of its table, or the dataset's revision."""
    return file_hash(find_table(source)) if source.dataset is None else f"{source.dataset}@{source.revision}"
