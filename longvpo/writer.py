"""The models that write and judge: frames and a text in, a text out.

A writer answers batches of requests and hands every batch over as soon as it is done; journal.py keeps it. Equal
requests get equal answers: each carries the seed from which its tokens are drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from longvpo.model import encode, encode_texts, load_model, load_processor, to_model
from longvpo.provenance import model_name
from longvpo.sections import WriterSection


@dataclass(frozen=True)
class Request:
    """What a writer is asked.

    The frames are fetched when their batch comes: those of all requests would not fit in memory.
    """

    text: str
    seed: int = 0
    temperature: float = 0.0  # 0 is greedy
    schema: dict[str, Any] | None = None  # JSON schema of the answer; a server can be held to it
    times: tuple[float, ...] = ()  # seconds of the frames, from the start of the clip; none: text alone
    media: str = ""  # names what the frames show: the video's hash, the span and the size
    frames: Callable[[], np.ndarray] | None = field(default=None, compare=False)  # uint8 RGB (times, height, width, 3)

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.times)


@dataclass(frozen=True)
class Answer:
    """What a writer said, and how it came about."""

    text: str
    form: str = "text"  # schema: the server was held to it; json: it was asked for JSON; repaired: at the second try
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str = ""  # the request itself was refused, for good


Keep = Callable[[int, list[Answer]], None]  # index of the batch, its answers in order


class Writer(Protocol):
    """`name` is model@revision, `settings` all else that decides an answer beside the request."""

    name: str
    settings: dict[str, Any]

    def batches(self, requests: list[Request]) -> list[list[int]]:
        """The indices of all requests in groups that are answered together; decided by the requests alone."""

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        """Answer the batches, in any order, and hand each over when it is done."""


class LocalWriter:
    """A transformers model on this machine: one for video and text, or, to judge, one for text alone."""

    def __init__(self, section: WriterSection, fps: float) -> None:
        self.section, self.fps = section, fps
        self.settings = section.model_dump(include={"dtype", "quantization", "batch_size", "max_new_tokens"})
        self.model = load_model(section)
        self.name = model_name(section, self.model.config)
        self.processor = load_processor(section)

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return alike(requests, self.section.batch_size)

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="frames") as ahead:  # of the next batch, while one is answered
            following = [ahead.submit(read, batch) for batch in batches[:1]]
            for number, (batch, after) in enumerate(zip(batches, [*batches[1:], None], strict=True)):
                videos = following.pop().result()
                if after:
                    following.append(ahead.submit(read, after))
                answers = answer(self.model, self.processor, batch, self.fps, self.section.max_new_tokens, videos)
                keep(number, answers)


def alike(requests: list[Request], size: int) -> list[list[int]]:
    """Indices of all requests in batches of at most `size`.

    Those of a batch have equal numbers of frames, which most families need, and one temperature.
    """
    kinds: dict[tuple[int, float], list[int]] = defaultdict(list)
    for index, request in enumerate(requests):
        kinds[request.count, request.temperature].append(index)
    return [indices[i : i + size] for indices in kinds.values() for i in range(0, len(indices), size)]


def read(batch: list[Request]) -> list[np.ndarray]:
    """The frames of all requests that have some."""
    return [request.frames() for request in batch if request.frames]


def answer(
    model: Any,
    processor: Any,
    batch: list[Request],
    fps: float,
    max_new_tokens: int,
    videos: list[np.ndarray] | None = None,
) -> list[Answer]:
    """A model's answers to one batch of `alike` requests.

    Args:
        fps: frames a second at which the requests' frames were sampled.
        videos: the requests' frames, where they were read before.
    """
    import torch
    from transformers import LogitsProcessorList

    texts = [request.text for request in batch]
    videos = read(batch) if videos is None else videos
    inputs = encode(processor, texts, videos, fps) if videos else encode_texts(processor, texts)
    drawing = LogitsProcessorList([draw(batch)]) if batch[0].temperature > 0 else None
    with torch.no_grad():
        output = model.generate(
            **to_model(inputs, model), max_new_tokens=max_new_tokens, do_sample=False, logits_processor=drawing
        )
    written = output[:, inputs["input_ids"].shape[1] :]
    prompts = inputs["attention_mask"].sum(dim=1).tolist()
    completions = (written != model.generation_config.pad_token_id).sum(dim=1).tolist()
    said = processor.batch_decode(written, skip_special_tokens=True)
    return [
        Answer(text.strip(), prompt_tokens=before, completion_tokens=after)
        for text, before, after in zip(said, prompts, completions, strict=True)
    ]


def draw(batch: list[Request]) -> Callable[[Any, Any], Any]:
    """A logits processor that makes a greedy choice a draw at the batch's temperature, each row by its own seed.

    The largest of scores with Gumbel noise is distributed as the softmax of the scores.
    """
    import torch

    generators = [torch.Generator().manual_seed(request.seed) for request in batch]
    temperature = batch[0].temperature

    def noisy(input_ids: Any, scores: Any) -> Any:
        uniform = torch.stack([torch.rand(scores.shape[1], generator=one) for one in generators]).to(scores.device)
        return scores.float() / temperature - torch.log(-torch.log(uniform.clamp(1e-10, 1 - 1e-7)))

    return noisy
