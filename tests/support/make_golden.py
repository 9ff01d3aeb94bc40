"""Make tests/golden again, in ten minutes: a demo whose dataset and adapters are published as they come.

    PYTHONPATH=tests python -m support.make_golden

They go to a Hub on this machine, as alice's. Commit first: the cards name the commit that made them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.hub.pushes import environment
from support.hub.server import hub
from support.world import GOLDEN

NOT_KEPT = [".gitattributes", "*.safetensors", "*token*", "*processor*", "*.jinja"]  # large, or nobody's to read here


def make(folder: Path) -> None:
    from huggingface_hub import snapshot_download

    from longvpo.cli import demo
    from longvpo.release.push import push_folder

    def publish(path: Path, results: Path | None = None) -> dict[str, Any]:
        return push_folder(path, None, "v0.1.0", None, None, [results] if results else ())

    def published(step: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(recipe: Any, output: Path) -> None:
            step(recipe, output)
            if output.name != "stage2":  # which comes with its results
                publish(output)

        return wrapped

    demo.build, demo.train = published(demo.build), published(demo.train)
    demo.run_demo(folder)
    publish(folder / "stage2", folder / "results")
    repositories = {"dataset": ("dataset", "alice/longvpo-tiny"), "adapter": ("model", "alice/longvpo-tiny-stage2")}
    for name, (kind, repo_id) in repositories.items():
        copy = folder / "copies" / name
        snapshot_download(repo_id, repo_type=kind, revision="v0.1.0", local_dir=copy, ignore_patterns=NOT_KEPT)
        shutil.rmtree(copy / ".cache")
        shutil.rmtree(GOLDEN / name, ignore_errors=True)
        shutil.move(copy, GOLDEN / name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, hub(Path(temporary) / "hub") as address:
        os.environ |= environment(address, "hf_alice_write_golden", Path(temporary) / "home")
        make(Path(temporary) / "demo")
