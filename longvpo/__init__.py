"""A kit for LongVPO: a recipe turns clips into preference triplets, TRL trains on them, and the result is measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longvpo.clips.load import load_triplets

__all__ = ["TINY", "load_triplets"]

TINY = Path(__file__).parent / "tiny" / "checkpoint"  # the embedded model


def __getattr__(name: str) -> Any:
    """`longvpo --help` must not wait for torch: what needs it is imported when it is asked for."""
    if name == "load_triplets":
        from longvpo.clips.load import load_triplets

        return load_triplets
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
