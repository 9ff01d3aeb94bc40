"""Output folders that appear whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longvpo.errors import LongVPOError


@contextmanager
def whole_folder(output: Path) -> Iterator[Path]:
    """A folder that appears at `output` when the block ends well, and not at all when it does not.

    Raises:
        LongVPOError: `output` is there and not empty.
    """
    check_free(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(output.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        yield unfinished
        if output.is_dir():
            output.rmdir()
        unfinished.rename(output)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def check_free(output: Path) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise LongVPOError(f"{output} is not empty: give another --output, or delete it")
