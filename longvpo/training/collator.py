"""Triplets to batches: the policy gets the whole context, the reference what the triplet's row says.

A row's `reference` is `anchor`: the first clip of `anchors`; `relevant`: all of them, in the context's order; or
`full`: the whole context. It sees these clips as they stand in the context, on the same canvas. A batch of n triplets,
T tokens long in the context and t in what the reference sees:

    input_ids         (2n, T)   n rows of prompt + chosen, then n rows of prompt + rejected, padded on the right
    attention_mask    (2n, T)
    completion_mask   (2n, T)   1 on the tokens of the answers, their end token included
    vision            n Pixels  of each triplet's video, once; they stay on the CPU until their turn
    clips             n lists   the clips of each video: what names the frames of a clip, and their number
    reference         a dict    the same five keys, (2n, t), made from what the reference sees; it is left out where
                                that is the whole context in every row: the reference is scored on the five above

Rows that bring `ref_chosen_logps` and `ref_rejected_logps` give these, (n,) each, in place of `reference`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from longvpo.clips.published import NAMES
from longvpo.clips.triplets import on_canvas, places_of, told_of
from longvpo.errors import LongVPOError
from longvpo.models.pixels import prompt_and_pixels
from longvpo.models.plain_text import TEXT, answer_ids
from longvpo.recipe.sections import Fit
from longvpo.recipe.training import Reference
from longvpo.training.rows import SCORES
from longvpo.video.frames import ClipFrames
from longvpo.video.joined import Shown, join

ClipKey = tuple[tuple[Any, ...], int]  # what names its frames, and how many they are


class Video(NamedTuple):
    """What a model sees of a triplet."""

    frames: np.ndarray  # (frames, height, width, 3)
    shown: Shown
    clips: list[ClipKey]


@dataclass
class AnchoredCollator:
    """Args:
    processor: the base model's.
    frames_of: gives the sampled frames of a clip.
    frame_budget: maximum number of frames per video, for policy and reference; a longer one is thinned evenly. None:
    all. token_budget: tokens of a prompt with both answers; one with more is an error. None: any number. fit: how
    clips of other shapes stand in a context. later: the device makes pixels of frames, where the family allows it;
    else it is done here.
    """

    processor: Any
    frames_of: ClipFrames
    frame_budget: int | None = None
    token_budget: int | None = None
    fit: Fit = "letterbox"
    later: bool = False
    _shares: bool = False  # the memory for frames with other workers

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Raises LongVPOError when a video of a triplet cannot be read, or its clips do not fit into the budget."""
        batch = self._side(rows, ["full"] * len(rows))
        if SCORES[0] in rows[0]:
            import torch

            return batch | {name: torch.tensor([row[name] for row in rows]) for name in SCORES}
        if any(row["reference"] != "full" for row in rows):
            batch["reference"] = self.reference(rows)
        return batch

    def reference(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """What the reference sees of the rows, with both answers."""
        return self._side(rows, [row["reference"] for row in rows])

    def _share_memory(self) -> None:
        """Each worker keeps frames of its own: it takes its part of the memory for them, once."""
        from torch.utils.data import get_worker_info

        worker = get_worker_info()
        if worker is not None and not self._shares:
            self._shares = True
            self.frames_of.shared_by(worker.num_workers)

    def _side(self, rows: list[dict[str, Any]], kinds: list[Reference]) -> dict[str, Any]:
        self._share_memory()
        videos = []
        for row, kind in zip(rows, kinds, strict=True):
            videos.append(self._video(row["context"], places_of(row, kind)))
        return self.side(rows, videos)

    def _video(self, context: list[dict[str, Any]], places: list[int]) -> Video:
        """The clips at these places as one video, on the canvas of the whole context."""
        named = [context[place] for place in places]
        kept, size = on_canvas(context, places, self.frames_of, self.frame_budget)
        told = told_of(named, self.frames_of, self.frame_budget)
        # how many of a clip's frames are left, and how they fit into which size, decides which pixels they have
        shape = (*size, self.fit)
        names = [(*(clip[part] for part in NAMES), len(some), *shape) for clip, some in zip(named, kept, strict=True)]
        return Video(join(kept, self.fit, size), told, list(zip(names, map(len, kept), strict=True)))

    def side(self, rows: list[dict[str, Any]], videos: list[Video]) -> dict[str, Any]:
        """One model's inputs: each triplet's prompt over its video, with both answers."""
        from torch.nn.utils.rnn import pad_sequence

        # one call of the processor a triplet: families cannot stack videos of different lengths
        made = [
            prompt_and_pixels(self.processor, row["prompt"], video.frames, video.shown, self.later)
            for row, video in zip(rows, videos, strict=True)
        ]
        prompts = [prompt for prompt, _ in made]
        sequences: dict[str, list[Any]] = {name: [] for name in TEXT if name in prompts[0]}
        sequences["completion_mask"] = []
        for answer in ("chosen", "rejected"):
            for row, prompt in zip(rows, prompts, strict=True):
                self._append(sequences, prompt, row[answer])
        masks = sequences["completion_mask"]  # those of chosen, then those of rejected
        for row, video, first, second in zip(rows, videos, masks[: len(rows)], masks[len(rows) :], strict=True):
            tokens = len(first) + int(second.sum())
            if self.token_budget is not None and tokens > self.token_budget:
                raise LongVPOError(
                    f"the triplet {row['prompt']!r}, of {len(video.frames)} frames, has {tokens} tokens, above the "
                    f"token_budget of {self.token_budget}: set a smaller frame_budget, or a larger token_budget"
                )
        pad = {"input_ids": self.processor.tokenizer.pad_token_id}
        batch: dict[str, Any] = {
            name: pad_sequence(values, batch_first=True, padding_value=pad.get(name, 0))
            for name, values in sequences.items()
        }
        batch["vision"] = [pixels for _, pixels in made]
        batch["clips"] = [video.clips for video in videos]
        return batch

    def _append(self, sequences: dict[str, list[Any]], prompt: dict[str, Any], answer: str) -> None:
        import torch

        # the answer ends with the end token, and nothing of the template after it is trained
        completion = torch.tensor(answer_ids(self.processor, answer))
        ids = prompt["input_ids"][0]
        sequences["completion_mask"].append(torch.cat([torch.zeros_like(ids), torch.ones_like(completion)]))
        sequences["input_ids"].append(torch.cat([ids, completion]))
        for name in TEXT[1:]:
            if name in prompt:
                filled = torch.ones_like(completion) if name == "attention_mask" else torch.zeros_like(completion)
                sequences[name].append(torch.cat([prompt[name][0], filled]))
