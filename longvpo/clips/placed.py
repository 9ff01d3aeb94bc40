"""Videos of rows from other tools: files in a recipe's folders, lists of pictures, or bytes in the rows.

The rule: whoever wrote a row, no file outside these folders is opened: a path that leads out leaves its row out.
Bytes become files in the cache of huggingface_hub, once, so that all that reads videos reads these too.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from longvpo.clips.cells import is_empty
from longvpo.clips.conversations import LeftOutError
from longvpo.errors import VideoError
from longvpo.io.files import whole_file
from longvpo.io.names import by_number, check_name, existing_file
from longvpo.io.private import last_name
from longvpo.video.pictures import size_of

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
KEPT = "in-rows"  # the source of what rows hold themselves
FRAMES = "-frames"  # ends the name of a source of lists of pictures
LINKS = re.compile(r".*/longvpo-[0-9a-f]{16}/")  # from stored.as_it_is; then follows a path in the dataset's folder
SEVERAL = "it shows more than one video"


class Placed(NamedTuple):
    """A video, by the name of its source and its path there."""

    source: str
    video: str
    frames: tuple[str, ...] = ()  # paths, where it is a list of pictures


def kept_folder() -> Path:
    """The folder of what rows hold themselves."""
    from huggingface_hub import cached_assets_path

    return cached_assets_path("longvpo", namespace="pairs")


def placed(cell: Any, folders: Mapping[str, Path]) -> Placed:
    """The one video that a cell names, or holds.

    Args:
        folders: by the name of their sources; the first that has it counts.

    Raises:
        LeftOutError: it names none, more than one, or one that is not in these folders.
    """
    leaves = _leaves(cell)
    if not leaves:
        raise LeftOutError("it names no video")
    if len(leaves) == 1 and not _is_picture(leaves[0]):
        (leaf,) = leaves
        if isinstance(leaf, bytes):
            return Placed(KEPT, _keep(leaf, ".mp4"))
        return _found(leaf, folders)
    if not all(_is_picture(leaf) for leaf in leaves):
        raise LeftOutError(SEVERAL)
    if isinstance(leaves[0], bytes):
        paths = [_keep(leaf, ".png") for leaf in leaves if isinstance(leaf, bytes)]
        return _listed(KEPT, kept_folder(), paths)
    first = _found(str(leaves[0]), folders)
    folder = folders[first.source]
    return _listed(first.source, folder, [first.video, *(_inside(str(leaf), folder) for leaf in leaves[1:])])


def _leaves(cell: Any) -> list[str | bytes]:
    """The paths in a cell, and what stands in place of a path; for a list in a list, those of the inner list."""
    if is_empty(cell):
        return []
    if isinstance(cell, bytes):
        return [cell]
    if isinstance(cell, str):
        if cell.lstrip().startswith("["):  # a table of text
            try:
                return _leaves(json.loads(cell))
            except (ValueError, RecursionError):
                raise LeftOutError("its video is not a path or a list of paths") from None
        return [LINKS.sub("", cell.strip().removeprefix("file://"))]
    if isinstance(cell, dict):  # a Video or an Image of datasets, or a part of a message
        for name in ("bytes", "path", "video", "image"):
            if not is_empty(cell.get(name)):
                return _leaves(cell[name])
        return []
    if isinstance(cell, list):
        if len(cell) > 1 and any(isinstance(one, list) for one in cell):
            raise LeftOutError(SEVERAL)
        return [leaf for one in cell for leaf in _leaves(one)]
    raise LeftOutError("its video is not a path or a list of paths")


def _is_picture(leaf: str | bytes) -> bool:
    if isinstance(leaf, str):
        return leaf.lower().endswith(PICTURES)
    try:
        return bool(size_of(leaf))
    except VideoError:
        return False


def _found(name: str, folders: Mapping[str, Path]) -> Placed:
    """A file, or a folder of pictures, in the first of some folders that has it."""
    missing = None
    for source, folder in folders.items():
        try:
            inside = _inside(name, folder)
            if os.path.isdir(folder / inside):
                listed = (one for one in os.listdir(folder / inside) if not one.startswith("."))
                names = sorted((one for one in listed if one.lower().endswith(PICTURES)), key=by_number)
                return _listed(source, folder, [f"{inside}/{one}" for one in names])
            existing_file(folder, inside)
            return Placed(source, inside)
        except (VideoError, LeftOutError) as error:
            missing = missing if isinstance(missing, VideoError) else error
    if isinstance(missing, VideoError):
        raise LeftOutError("its video is missing", str(missing))
    raise missing or LeftOutError("its video is missing", "no folder is given")


def _inside(name: str, folder: Path) -> str:
    """A path in a folder, by a name that may be absolute. Raises LeftOutError where it is not inside."""
    if os.path.isabs(name):
        inside = os.path.relpath(name, os.path.abspath(folder))
        if inside == ".." or inside.startswith(f"..{os.sep}"):
            raise LeftOutError("its video lies outside the folders in data.videos", last_name(name))
        name = inside
    try:
        check_name(name)
    except VideoError as error:
        raise LeftOutError("its video lies outside the folders in data.videos", str(error)) from None
    return name


def _listed(source: str, folder: Path, paths: list[str]) -> Placed:
    """A list of pictures under a name that changes with the files."""
    if not paths:
        raise LeftOutError("it names no video")
    digest = hashlib.sha256()
    for path in paths:
        try:
            facts = os.stat(folder / path)
        except OSError:
            raise LeftOutError("a frame of its video is missing", path) from None
        digest.update(f"{path}\0{facts.st_size} {facts.st_mtime_ns}\n".encode(errors="replace"))
    parent = os.path.dirname(paths[0]) or "frames"
    return Placed(f"{source}{FRAMES}", f"{parent}#{digest.hexdigest()[:12]}", tuple(paths))


def _keep(content: bytes, suffix: str) -> str:
    """The name of the file in kept_folder that holds this; it is written where it is not there."""
    name = f"{hashlib.sha256(content).hexdigest()}{suffix}"
    path = kept_folder() / name[:2] / name
    if not path.is_file():
        with whole_file(path) as file:
            file.write(content)
    return f"{name[:2]}/{name}"
