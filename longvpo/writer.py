"""The model that writes: frames and a text in, a text out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from longvpo.model import encode, load_model, load_processor, to_model
from longvpo.recipe import WriterSection


@dataclass(frozen=True)
class Request:
    """What the writer is asked.

    The frames are fetched when their batch comes: those of all requests would not fit in memory.
    """

    text: str
    count: int  # of frames
    frames: Callable[[], np.ndarray]  # uint8 RGB of shape (count, height, width, 3)


class LocalWriter:
    """A transformers model on this machine."""

    def __init__(self, section: WriterSection, fps: float) -> None:
        self.section, self.fps = section, fps
        self.name = f"{section.model}@{section.revision}"
        self.model = load_model(section)
        self.processor = load_processor(section)

    def write(self, requests: list[Request], seed: int, sample: bool, progress: str) -> list[str]:
        """Answers in the order of the requests.

        Args:
            seed: decides what sampling draws; equal calls give equal answers on one machine.
            sample: whether to draw at the recipe's temperature; greedy otherwise.
            progress: the progress bar's text.
        """
        return generate(
            self.model,
            self.processor,
            requests,
            fps=self.fps,
            batch_size=self.section.batch_size,
            max_new_tokens=self.section.max_new_tokens,
            temperature=self.section.temperature if sample else 0.0,
            seed=seed,
            progress=progress,
        )


def generate(
    model: Any,
    processor: Any,
    requests: list[Request],
    *,
    fps: float,
    batch_size: int,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    progress: str | None = None,
) -> list[str]:
    """Batched generation. Requests of one batch have equal numbers of frames, which most families need."""
    import torch

    by_length: dict[int, list[int]] = defaultdict(list)
    for index, request in enumerate(requests):
        by_length[request.count].append(index)
    batches = [
        indices[i : i + batch_size] for indices in by_length.values() for i in range(0, len(indices), batch_size)
    ]
    sampling = {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
    answers = [""] * len(requests)
    with tqdm(total=len(requests), desc=progress, disable=progress is None, leave=False) as bar:
        for number, indices in enumerate(batches):
            batch = [requests[index] for index in indices]
            inputs = to_model(encode(processor, [r.text for r in batch], [r.frames() for r in batch], fps), model)
            torch.manual_seed(seed * 1_000_003 + number)
            with torch.no_grad():
                output = model.generate(**inputs, max_new_tokens=max_new_tokens, **sampling)
            written = output[:, inputs["input_ids"].shape[1] :]
            for index, text in zip(indices, processor.batch_decode(written, skip_special_tokens=True), strict=True):
                answers[index] = text.strip()
            bar.update(len(indices))
    return answers
