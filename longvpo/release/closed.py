"""Sources whose frames may not be published, and where frames of them stand."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from longvpo.release.parquet import column_types, shards


def closed_in(facts: dict[str, Any]) -> list[str]:
    """The sources of which nothing says that their videos may be published."""
    return [source["name"] for source in facts.get("sources", ()) if not source["redistribution"]]


def frames_in(folder: Path) -> list[str]:
    """The configs of a dataset in whose rows the sampled frames stand."""
    found = {config: shards(folder / config) for config in ("clips", "scenes")}
    return [config for config, paths in found.items() if paths and "frames" in column_types(paths[:1])]


def allowing(folder: Path, source: str) -> str:
    """How it is said that a source's frames may be published."""
    command = shlex.join(["longvpo", "card", str(folder), f"sources.{source}.redistribution=true"])
    return f"if its licence allows it, say so with `{command}`"
