"""Triplets to batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.stage2 import collator
from support.world import TINY
from transformers.video_utils import VideoMetadata

from longvpo.models.encode import encode
from longvpo.models.load import load_processor
from longvpo.video import frames
from longvpo.video.joined import at_rate, join, thin


class Watched:
    """A processor that notes what it is told about videos."""

    def __init__(self, processor: Any) -> None:
        self.processor, self.told = processor, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def __call__(self, **inputs: Any) -> Any:
        self.told += inputs["video_metadata"]
        return self.processor(**inputs)


def test_a_context_beyond_the_frame_budget_is_thinned(stage2_rows: list[dict[str, Any]], world: Path) -> None:
    row = stage2_rows[7] | {"reference": "relevant"}  # 8 clips of 4 frames, 2 anchors
    collate = collator(world, frame_budget=10)
    collate.processor = Watched(collate.processor)
    batch = collate([row])
    told = [VideoMetadata(**item) for item in collate.processor.told]
    assert [(len(one.frames_indices), one.sampled_fps, one.duration) for one in told] == [
        (10, 10 / 32, 32.0),
        (8, 1.0, 8.0),
    ], "the reference's 8 frames are within the budget"
    assert told[1].timestamps == [place + 0.5 for place in range(8)]
    clips = [collate.frames_of(clip) for clip in row["context"]]
    by_hand = encode(
        load_processor(TINY), [row["prompt"]], [join(thin(clips, 10), "letterbox")], [at_rate(10, 10 / 32)]
    )
    assert torch.equal(batch["vision"][0].made["pixel_values_videos"], by_hand["pixel_values_videos"])
    plain = collator(world)([row])
    assert torch.equal(batch["reference"]["input_ids"], plain["reference"]["input_ids"])
    assert batch["input_ids"].shape[1] < plain["input_ids"].shape[1]
    narrow = collator(world, frame_budget=8)
    narrow.processor = Watched(narrow.processor)
    assert "reference" not in narrow([row | {"reference": "full"}])
    narrow([row | {"reference": "full"}, row])
    assert [len(item["frames_indices"]) for item in narrow.processor.told] == [8] * 5


def test_no_frame_is_decoded_that_is_not_shown(
    stage2_rows: list[dict[str, Any]], world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, decode = [], frames.read_frames

    def counted(path: Path, times: Any, *args: Any) -> Any:
        decoded.append(len(times))
        return decode(path, times, *args)

    monkeypatch.setattr(frames, "read_frames", counted)
    row = stage2_rows[7] | {"reference": "full"}  # 8 clips of 4 frames
    collator(world, frame_budget=10)([row])
    assert sum(decoded) == 10, "not 32"
