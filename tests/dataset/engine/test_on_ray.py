"""A build on Ray: the bytes of one process, whatever happens to its workers, and no answer is asked for again.

One small cluster serves all tests here, for it takes seconds to start.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.mortal import TOGETHER, Mortal, Quick, asked_again, both_stages
from support.scribe import content

from longvpo.dataset.run import build


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=4, include_dashboard=False, logging_level="ERROR", object_store_memory=10**8)
        yield ray
        ray.shutdown()


def test_the_bytes_of_one_process_though_a_worker_is_lost(
    cluster: Any, world: Path, stories: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = both_stages(world, stories)
    whole, on_ray = tmp_path / "whole", tmp_path / "ray"
    scribe = Mortal(tmp_path / "asked-whole")
    build(made, whole, writer=scribe, question_writer=scribe, embedder=Quick())
    mortal = Mortal(tmp_path / "asked-ray", {10: "killed"})
    build(made, on_ray, writer=mortal, question_writer=mortal, embedder=Quick(), engine="ray", workers=2)
    assert content(on_ray) == content(whole)
    assert (tmp_path / "asked-ray-fell-10").exists()
    assert asked_again(tmp_path / "asked-whole", tmp_path / "asked-ray") <= TOGETHER
    said = capfd.readouterr().err
    assert "another one takes it" in said
    assert "blocks, 2 workers" in said
    assert sorted(path.name for path in (on_ray / "work").iterdir()) == sorted(
        path.name for path in (whole / "work").iterdir()
    )
