"""Folders that are spoilt, each in one way, for builds that meet them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import datasets  # noqa: F401  its log keeps the stderr of the moment of its import, which must not be that of a test
import pytest
from support.commands import run

Spoil = Callable[[Path], object]


ROW = '{"file_name": "videos/00000.mp4", "caption": "a red disc"}'


def nothing(at: Path) -> None:
    """The arguments are bad enough."""


def all_of(*spoils: Spoil) -> Spoil:
    return lambda at: [spoil(at) for spoil in spoils]


def file(name: str, content: str | bytes = "mine") -> Spoil:
    def spoil(at: Path) -> None:
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def closed(name: str) -> Spoil:
    return lambda at: (at / name).chmod(0)


def build(at: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    """Runs the command; `recipe=` names another recipe than tiny/dataset."""
    filled = [argument.replace("@", str(at)) for argument in arguments]
    named = [argument.removeprefix("recipe=") for argument in filled if argument.startswith("recipe=")]
    own = [f"{at}/recipe.yaml"] if (at / "recipe.yaml").exists() else named
    rest = [argument for argument in filled if not argument.startswith("recipe=")]
    output = [] if "--output" in rest else ["--output", at / "out"]
    return run(monkeypatch, "build-dataset", *(own or ["tiny/dataset", *few(at)]), *rest, *output)


def few(at: Path) -> list[str]:
    """The arguments of every build from the built-in recipe."""
    return [f"sources.0.folder={at}/clips", "context.clips=[2]", "stage1.triplets=4", "stage2=null"]
