"""What cannot be written to a disk, and why: a full disk is said by every library in its own words."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longvpo.errors import LongVPOError, first_line

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
ROOM = 1 << 20  # bytes; with less, a library that cannot write most likely had no space
# safetensors and tokenizers are written in Rust, PyTorch in C++: what they raise is not an OSError
NOT_WRITTEN = re.compile(r"\(os error (?P<number>\d+)\)|PytorchStreamWriter|inline_container|No space left on device")
OTHERWISE = "give another --output"


def check_on_disk(output: Path) -> None:
    """Raises LongVPOError where an output is in object storage."""
    if re.match(r"[A-Za-z][\w+.-]+:/", str(output)):
        raise LongVPOError(
            f"{output}: write an output to a disk or to NFS, and copy it elsewhere when it is whole. Object storage "
            "has no locks and no renames, and without them a run that was killed cannot resume"
        )


@contextmanager
def writing(output: Path, otherwise: str = OTHERWISE, everything: bool = True) -> Iterator[None]:
    """What cannot be written there, as a LongVPOError.

    Args:
        otherwise: what to do.
        everything: see not_written.
    """
    try:
        yield
    except LongVPOError:
        raise
    except Exception as error:
        said = not_written(error, output, everything)
        if said is None:
            raise
        raise LongVPOError(f"cannot write into {output}: {said}; {otherwise}") from error


def not_written(error: BaseException, folder: Path, everything: bool = True) -> str | None:
    """Why a file could not be written, where that is what the error is about.

    Args:
        folder: where.
        everything: any error of the operating system counts, and not only a full or closed disk.
    """
    one: BaseException | None = error
    while one is not None:
        said = NOT_WRITTEN.search(str(one))
        number = (one.errno if isinstance(one, OSError) else None) or int(said["number"] or 0 if said else 0)
        if number in FULL or (number and everything):
            return os.strerror(number)
        if said and not number:
            return os.strerror(errno.ENOSPC) if _free(folder) < ROOM else first_line(one)
        one = one.__cause__ or one.__context__
    return None


def check_room(folder: Path, size: int, what: str) -> None:
    """Raises LongVPOError when there is less room than `size` bytes for what a run will write."""
    free = _free(folder)
    if free < size:
        raise LongVPOError(
            f"{folder} has {free / 1e6:,.1f} MB of free space, and {what} {size / 1e6:,.1f} MB: "
            f"free some space, or {OTHERWISE}"
        )


def _free(folder: Path) -> int:
    """Free bytes; where a folder does not exist, those of the first existing folder above it."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free
