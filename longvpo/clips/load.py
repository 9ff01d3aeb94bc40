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

from longvpo.clips.stored import config_names, load_rows
from longvpo.errors import LongVPOError, first_line
from longvpo.io.home import at_home, path
from longvpo.io.records import read_record
from longvpo.recipe.sections import VideoSection
from longvpo.video.frames import ClipFrames

ABOUT = {"stage1": "clips", "stage2": "scenes"}  # where the clips of a config's contexts are described


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
    """The frames of clips: those in the dataset, or those of videos in folders."""

    def __init__(self, embedded: Any | None, decode: ClipFrames) -> None:
        self.embedded, self.decode = embedded, decode
        self.places = {name: place for place, name in enumerate(embedded["clip_id"])} if embedded else {}

    def __call__(self, clip: Mapping[str, Any]) -> np.ndarray:
        if clip["source"] in self.decode.folders:
            return self.decode(clip)
        if self.embedded is None or clip["clip_id"] not in self.places:
            raise LongVPOError(
                f"the videos of source {clip['source']} are not in the dataset: give their folder, "
                f"videos={{{clip['source']!r}: FOLDER}}; the dataset's card says where they come from"
            )
        return np.stack([np.asarray(picture) for picture in self.embedded[self.places[clip["clip_id"]]]["frames"]])


def load_triplets(
    dataset: str, config: str = "stage1", revision: str | None = None, videos: Mapping[str, str | Path] | None = None
) -> Triplets:
    """The triplets of a dataset that longvpo built, with frames at the rate and size at which they were written.

    Args:
        dataset: a Hub id, or a folder.
        config: stage1 or stage2.
        revision: tag, branch or commit of a Hub id.
        videos: folder of the videos of each source; a source that is not named takes the frames in the dataset.

    Raises:
        LongVPOError: there is no such dataset or config, or longvpo did not build it.
    """
    dataset = at_home(dataset)
    if config not in ABOUT:
        raise LongVPOError(f"cannot load {dataset}, config {config}: triplets are in {' and '.join(ABOUT)}")
    try:
        configs = config_names(dataset, revision)
        video = _video_of(dataset, revision)
        rows = load_rows(dataset, config, "train", revision)
        about = ABOUT[config]
        clips = load_rows(dataset, about, "train", revision) if about in configs else None
    except LongVPOError:
        raise
    except Exception as error:  # errors of datasets, huggingface_hub and its HTTP client have no common base
        raise LongVPOError(f"cannot load {dataset}, config {config}: {first_line(error)}") from error
    video = video.model_copy(update={"frames": None})  # a folder of whoever built it
    embedded = clips if clips is not None and "frames" in clips.column_names else None
    return Triplets(
        rows, Frames(embedded, ClipFrames(video, {name: path(given) for name, given in (videos or {}).items()}))
    )


def sampling_of(dataset: str, revision: str | None) -> VideoSection | None:
    """How a dataset's writer saw its videos, by the recipe beside its rows; None where it is not longvpo's."""
    try:
        return _video_of(dataset, revision)
    except Exception:  # errors of huggingface_hub and its HTTP client have no common base
        return None


def _video_of(dataset: str, revision: str | None) -> VideoSection:
    from huggingface_hub import hf_hub_download

    file = Path(dataset) / "recipe.yaml"
    if not Path(dataset).is_dir():
        file = Path(hf_hub_download(dataset, file.name, repo_type="dataset", revision=revision))
    return VideoSection(**read_record(file)["video"])
