"""A file of weights, looked at by its header: whether it is one, and whole. No tensor is read."""

from __future__ import annotations

import json
import os
from pathlib import Path

from longvpo.errors import LongVPOError

LARGEST_HEADER = 100_000_000  # bytes; safetensors refuses more


def check_weights(path: Path, named: Path | None = None) -> None:
    """Raises LongVPOError when a file is not safetensors, is empty, or ends too early.

    Args:
        named: the user's own file, of which `path` is a copy.
    """
    try:
        header = read_header(path)
        ends = [values["data_offsets"][1] for name, values in json.loads(header).items() if name != "__metadata__"]
        size = path.stat().st_size - len(header) - 8
        wrong = "it holds no tensor" if not ends else "it is truncated" if max(ends) > size else ""
        wrong = wrong or ("it has more bytes than tensors" if max(ends) < size else "")
    except OSError as error:
        wrong = error.strerror or str(error)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        wrong = str(error) if isinstance(error, _HeaderError) else "it has no header of safetensors"
    if wrong:
        raise LongVPOError(f"{named or path} holds no weights that can be used: {wrong}")


class _HeaderError(ValueError):
    """What the file is instead."""


def read_header(path: Path) -> bytes:
    """The header of a safetensors file, a JSON object. Raises OSError or ValueError."""
    with path.open("rb") as file:
        start = file.read(8)
        if start == b"version ":
            raise _HeaderError("it is a pointer of git-lfs, and `git lfs pull` brings the file")
        length, left = int.from_bytes(start, "little"), os.fstat(file.fileno()).st_size - 8
        if left < 0 or length > min(left, LARGEST_HEADER):
            raise _HeaderError("it is empty" if left + 8 == 0 else "it has no header of safetensors, or is truncated")
        return file.read(length)


ADAPTER_WEIGHTS = "adapter_model.safetensors"
