"""Vision features of a triplet's video, computed once; a frozen vision side's are kept by clip where memory is given.

The rule: for every triplet the number of features is held against the places that its prompt has for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from longvpo.errors import LongVPOError
from longvpo.models.features import Features, VideoEncoder
from longvpo.models.pixels import Pixels
from longvpo.training.collator import ClipKey
from longvpo.video.recent import Recent


class Vision(VideoEncoder):
    """The vision side of a video model.

    Args:
        core: the model around vision tower and language model, without adapters.
        processor: the model's.
        cache_gb: for the features of clips, on the CPU; the least recently used leave first. 0: a video is encoded
            whole, and nothing is kept. Otherwise a clip is always encoded by itself, so that its features do not
            depend on what is kept.
    """

    def __init__(self, core: Any, processor: Any, cache_gb: float = 0.0) -> None:
        super().__init__(core)
        self.processor, self.limit = processor, cache_gb * 1e9
        self.hits = self.misses = 0
        self._kept: Recent[Features] = Recent(self.limit, _size)

    def encode(self, video: Pixels, clips: Sequence[ClipKey], tokens: torch.Tensor) -> Features:
        """Features of one triplet's video.

        Args:
            video: its pixels, which come to the device now.
            clips: those of which the video consists.
            tokens: (T,) ids of its prompt.

        Raises:
            LongVPOError: the prompt has another number of places for video tokens than there are features.
        """
        pixels = video.on(self.core.device, self.processor)
        parts = self._by_clip(pixels, clips) if self.limit else None
        if parts is None:
            found = self.features_of(pixels)
            expected = self.places(tokens)
        else:
            each = [self._clip((*name, *_shape(part)), part) for (name, _), part in zip(clips, parts, strict=True)]
            expected = self.places(tokens)
            # some models close every video with a token; within a video, those of its clips are left out
            closing = (sum(len(one.rows) for one in each) - expected) // max(len(each) - 1, 1)
            each = [_cut(one, closing) for one in each[:-1]] + each[-1:]
            found = Features(
                torch.cat([one.rows for one in each]),
                [torch.cat(layer) for layer in zip(*(one.deeper for one in each), strict=True)],
            )
        if len(found.rows) != expected:
            raise LongVPOError(
                f"a prompt has places for {expected} video tokens, but its video of "
                f"{sum(count for _, count in clips)} frames has {len(found.rows)}. The processor and the model do not "
                "belong together: load both from the same repository and revision"
            )
        return found

    def positions(self, batch: dict[str, torch.Tensor], vision: list[Pixels]) -> torch.Tensor | None:
        """Positions (3, 2n, T) of the rows of a batch, for a model with M-RoPE; None for one that counts."""
        rope_index = getattr(self.core.base_model, "get_rope_index", None)
        if rope_index is None:
            return None
        device = batch["input_ids"].device
        names = [name for name in vision[0].made if not name.startswith("pixel")]
        grids = {name: torch.cat([torch.as_tensor(one.made[name]).to(device) for one in vision] * 2) for name in names}
        texts = {name: batch[name] for name in ("input_ids", "attention_mask", "mm_token_type_ids")}
        positions: torch.Tensor = rope_index(**texts, **grids)[0]
        return positions

    def _clip(self, key: tuple[Any, ...], pixels: dict[str, Any]) -> Features:
        """Features of a clip, kept or computed."""
        kept = self._kept.get(key)
        if kept is not None:
            self.hits += 1
            return Features(kept.rows.to(self.core.device), [layer.to(self.core.device) for layer in kept.deeper])
        self.misses += 1
        found = self.features_of(pixels)
        self._kept.put(key, Features(found.rows.cpu(), [layer.cpu() for layer in found.deeper]))
        return found

    def _by_clip(self, pixels: dict[str, Any], clips: Sequence[ClipKey]) -> list[dict[str, Any]] | None:
        """The pixels of each clip; None where a model merges frames of two clips."""
        counts = [count for _, count in clips]
        grid = pixels.get("video_grid_thw")
        if grid is None:
            axis = {4: 0}.get(pixels["pixel_values"].ndim, 1) if "pixel_values" in pixels else 1
            split = {name: value.split(counts, axis) for name, value in pixels.items()}
            return [dict(zip(split, part, strict=True)) for part in zip(*split.values(), strict=True)]
        merged = -(-sum(counts) // int(grid[0, 0]))  # frames per row of the grid
        if any(count % merged for count in counts):
            return None
        grids = [torch.tensor([[count // merged, *grid[0, 1:].tolist()]]) for count in counts]
        patches = pixels["pixel_values_videos"].split([int(one.prod()) for one in grids])
        return [{"pixel_values_videos": part, "video_grid_thw": one} for part, one in zip(patches, grids, strict=True)]


def _shape(pixels: dict[str, Any]) -> Iterator[Any]:
    """A model may give the frames of a longer video fewer pixels (Qwen3-VL)."""
    for name, value in pixels.items():
        yield tuple(value.shape) if name.startswith("pixel") else tuple(value.flatten().tolist())


def _cut(features: Features, rows: int) -> Features:
    """The features without the last rows."""
    end = len(features.rows) - rows
    return Features(features.rows[:end], [layer[:end] for layer in features.deeper])


def _size(features: Features) -> int:
    return sum(layer.nbytes for layer in (features.rows, *features.deeper))
