"""The engines that `--engine` can name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from longvpo.errors import LongVPOError

if TYPE_CHECKING:
    from longvpo.dataset.engine.local import Engine, Kit


def check_engine(name: str, workers: int | None = None) -> None:
    """Raises LongVPOError where there is no such engine, or it is not installed."""
    ray = name == "ray" or (name.startswith("ray://") and len(name) > len("ray://"))
    if not ray and name != "local":
        raise LongVPOError(f"--engine {name}: give local, ray, or the address of a cluster as ray://HOST:PORT")
    if workers is not None and (workers < 1 or not ray):
        raise LongVPOError(f"--workers {workers}: give a number from 1 on, and --engine ray")
    if ray and find_spec("ray") is None:
        raise LongVPOError(f"--engine {name} needs a package: pip install 'longvpo[ray]'")


@contextmanager
def engine_of(name: str, kit: Kit, workers: int | None) -> Iterator[Engine]:
    """The engine, while a build is at work with it."""
    if name == "local":
        from longvpo.dataset.engine.local import LOCAL
        from longvpo.dataset.engine.worker import MARK

        (kit.working / MARK).unlink(missing_ok=True)  # workers of a build on Ray that was killed stop writing there
        yield LOCAL
        return
    from longvpo.dataset.engine.on_ray import on_ray

    with on_ray(None if name == "ray" else name, kit, workers) as engine:
        yield engine
