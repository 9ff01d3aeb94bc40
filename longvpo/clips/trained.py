"""The videos that an adapter was trained on, in a file beside it: the sha256 of each, one a line, and no name.

So a stranger's test videos can be held against it, and `filters.overlap` of a build takes it as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from longvpo.clips.published import ABOUT
from longvpo.clips.stored import load_rows
from longvpo.errors import LongVPOError
from longvpo.io.files import TRAINED, read_text, write_text

if TYPE_CHECKING:
    from datasets import Dataset


def videos_of(dataset: str, revision: str, config: str, rows: Dataset) -> set[str] | None:
    """sha256 of the videos in the contexts of some triplets; None where the dataset does not say them all.

    Args:
        rows: triplets of `config`, with the column `context`.
    """
    found = videos_of_rows(dataset, revision, config, rows)
    return None if found is None else set().union(*found)


def videos_of_rows(dataset: str, revision: str, config: str, rows: Dataset) -> list[set[str]] | None:
    """The same, row by row."""
    try:
        clips = load_rows(dataset, ABOUT.get(config, config), "train", revision)
    except LongVPOError:  # it was not built by longvpo
        return None
    if not {"clip_id", "sha256"} <= set(clips.column_names):
        return None
    known = dict(zip(clips["clip_id"][:], clips["sha256"][:], strict=True))
    found = [{known.get(clip.get("clip_id")) or "" for clip in context} for context in rows["context"][:]]
    return None if any("" in videos for videos in found) else found


def write_trained(folder: Path, videos: set[str] | None) -> None:
    """Write the file, where the videos are known."""
    if videos is not None:
        write_text(folder / TRAINED, "".join(f"{sha256}\n" for sha256 in sorted(videos)))


def read_trained(folder: Path) -> set[str] | None:
    """sha256 of the videos that the adapter in a folder was trained on; None where it does not say."""
    file = folder / TRAINED
    return set(read_text(file).split()) if file.is_file() else None
