"""Commands of longvpo that talk to the Hub of server.py: many of them, each in a process of its own.

They are forked from a process that has imported everything, so that hundreds take minutes. Their clients are the real
ones; only waiting is shortened.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

SHORTER = 20  # times, of every wait
# the last of them is imported by every child for nothing, as it is the program that started it
LOADED = [
    *("datasets.iterable_dataset", "datasets.packaged_modules.parquet.parquet", "huggingface_hub.hf_api", "jinja2"),
    *(
        "longvpo.cli.main",
        "longvpo.recipe.file",
        "longvpo.release.push",
        "pyarrow.parquet",
        "scipy.io",
        "torch",
        "pytest",
    ),
]


def environment(address: str, token: str | None, home: Path) -> dict[str, str]:
    """The environment of a process that knows only this Hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    kept |= {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return kept | ({"HF_TOKEN": token} if token else {})


def _command(arguments: list[str], token: str, output: Path, settings: dict[str, Any]) -> None:
    """One command, as the process that runs it."""
    from longvpo import cli
    from longvpo.release import contents, hub

    os.environ["HF_TOKEN"] = token
    wait = time.sleep
    time.sleep = lambda seconds: wait(seconds / SHORTER)  # type: ignore[assignment]
    for name, value in settings.items():
        setattr(contents if hasattr(contents, name) else hub, name, value)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["longvpo", *arguments]
    cli.main()


@dataclass
class Command:
    """A command that was started."""

    process: BaseProcess
    output: Path

    def end(self) -> tuple[int | None, str]:
        """Exit code, and all that it printed."""
        self.process.join(120)
        assert self.process.exitcode is not None, f"it hangs: {self.output.read_text()}"
        return self.process.exitcode, self.output.read_text()


class Pushes:
    """Starts commands against one Hub, which keeps its things in `folder`/hub."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(LOADED)
        self._started = 0

    def start(self, *arguments: object, token: str, **settings: Any) -> Command:
        """Start `longvpo ARGUMENTS`.

        Args:
            settings: names of hub.py or contents.py that get other values.
        """
        self._started += 1
        output = self.folder / f"{self._started:05d}.txt"
        said = (list(map(str, arguments)), token, output, settings)
        process = self._context.Process(target=_command, args=said)
        process.start()
        return Command(process, output)

    def run(self, *arguments: object, token: str, **settings: Any) -> tuple[int | None, str]:
        return self.start(*arguments, token=token, **settings).end()

    def control(self, run: str, **fault: Any) -> dict[str, Any]:
        """What a run has asked the Hub; with a fault, sets it first."""
        body = json.dumps({"fault": fault}).encode() if fault else None
        with urlopen(Request(f"{self.address}/_control/{run}", body)) as reply:
            return dict(json.load(reply))

    def state(self) -> dict[str, Any]:
        with urlopen(f"{self.address}/_state") as reply:
            return dict(json.load(reply))

    def read(self, name: str, revision: str, path: str) -> str:
        """A file of a repository as the Hub has it.

        Args:
            name: as in state().
            revision: a tag, or main.
        """
        repo = self.state()[name]
        commit = repo["tags"].get(revision) or repo["branches"][revision]
        return (self.folder / "hub" / "objects" / repo["trees"][commit][path]).read_text()


@contextmanager
def forking(address: str, folder: Path) -> Iterator[Pushes]:
    """The process from which commands are forked takes over the environment of this moment."""
    (folder / "tmp").mkdir()
    before, own = dict(os.environ), environment(address, None, folder / "home") | {"TMPDIR": str(folder / "tmp")}
    os.environ.clear()
    os.environ.update(own)
    try:
        from multiprocessing import forkserver

        pushes = Pushes(address, folder)
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    yield pushes
