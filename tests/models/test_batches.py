"""Which requests a model on this machine answers together."""

from __future__ import annotations

from longvpo.models.batches import alike
from longvpo.models.writer import Request


def asked(*counts: int, temperature: float = 0.0) -> list[Request]:
    return [Request("", temperature=temperature, times=(1.0,) * frames) for frames in counts]


def test_batches_hold_requests_that_are_alike() -> None:
    assert alike(asked(4, 8, 4, 4, 8), 2, ragged=False) == [[0, 2], [3], [1, 4]]
    assert alike(asked(4, 8, 4, 5, 8), 2, ragged=True) == [[1, 4], [3, 0], [2]], "the longest first"
    mixed = [*asked(4, 5), *asked(3, temperature=0.7), *asked(0)]
    assert alike(mixed, 8, ragged=True) == [[3], [1, 0], [2]], "one temperature, and videos or none"
    assert alike([Request(text) for text in ("a", "aaa", "aa")], 2, ragged=True) == [[1, 2], [0]]


def test_long_videos_make_smaller_batches() -> None:
    """Eight of 64 frames are the most of a batch of eight; one that is longer stands alone."""
    batches = alike(asked(*[64] * 16, 1000, *[128] * 5, *[4] * 9), 8, ragged=True)
    assert [len(batch) for batch in batches] == [1, 4, 4, 8, 8, 6]
