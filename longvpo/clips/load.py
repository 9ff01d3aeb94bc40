"""Published triplets with their frames.

    rows = longvpo.load_triplets("someone/longvpo-16k", "stage1", revision="v1.0.0", videos={"clips": "my-clips"})
    rows[0].frames()

The rule: no frame is read before it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from longvpo.clips.published import ABOUT, frames_of_dataset, recipe_of, sampling_in
from longvpo.clips.stored import load_rows
from longvpo.errors import LongVPOError, first_line
from longvpo.io.home import at_home, path
from longvpo.video.frames import ClipFrames


class TripletRow(dict[str, Any]):
    """A triplet: its columns by name, and its frames."""

    def __init__(self, columns: dict[str, Any], source: Frames) -> None:
        super().__init__(columns)
        self.source = source

    def frames(self) -> list[np.ndarray]:
        """The frames of each clip of the context, in order: uint8 RGB of shape (frames, height, width, 3).

        Raises:
            LongVPOError: the videos are neither in the dataset nor in a folder that was given.
        """
        return [self.source(clip) for clip in self["context"]]

    def anchor_frames(self) -> list[np.ndarray]:
        """The frames of only those clips that hold the answer."""
        return [self.source(self["context"][place]) for place in self["anchors"]]


class Triplets(Sequence[TripletRow]):
    """The rows of a config, as load_dataset gives them in `dataset`, each with its frames."""

    def __init__(self, dataset: Any, frames: Frames) -> None:
        self.dataset, self._frames = dataset, frames

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Triplets(self.dataset.select(range(*place.indices(len(self)))), self._frames)
        return TripletRow(self.dataset[place], self._frames)


class Frames:
    """The frames of clips: those of videos in folders, or those in the dataset."""

    def __init__(self, frames_of: ClipFrames) -> None:
        self.frames_of = frames_of

    def __call__(self, clip: Mapping[str, Any]) -> np.ndarray:
        if not self.frames_of.can_read(clip):
            raise LongVPOError(
                f"the videos of source {clip['source']} are not in the dataset: give their folder, "
                f"videos={{{clip['source']!r}: FOLDER}}; the dataset's card says where they come from"
            )
        return self.frames_of(clip)


def load_triplets(
    dataset: str, config: str = "stage1", revision: str | None = None, videos: Mapping[str, str | Path] | None = None
) -> Triplets:
    """Load the triplets of a dataset that longvpo built, with frames at the rate and size that the writer saw.

    Args:
        dataset: a Hub id, or a folder.
        config: stage1 or stage2.
        revision: tag, branch or commit of a Hub id.
        videos: folder of each source's videos, by the source's name; for other sources, the frames in the dataset are
            read.

    Raises:
        LongVPOError: the dataset or its config is missing, or longvpo did not build it.
    """
    dataset = at_home(dataset)
    if config not in ABOUT:
        raise LongVPOError(f"cannot load {dataset}, config {config}: triplets are in {' and '.join(ABOUT)}")
    try:
        section = sampling_in(recipe_of(dataset, revision)).model_copy(update={"frames": None})  # its builder's folder
        rows = load_rows(dataset, config, "train", revision)
        folders = {name: path(given) for name, given in (videos or {}).items()}
        frames_of = frames_of_dataset(dataset, revision, [config], section, folders)
    except LongVPOError:
        raise
    except Exception as error:  # errors of datasets, huggingface_hub and its HTTP client have no common base
        raise LongVPOError(f"cannot load {dataset}, config {config}: {first_line(error)}") from error
    return Triplets(rows, Frames(frames_of))
