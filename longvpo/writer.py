"""The models that write and judge: frames and a text in, a text out.

A writer answers batches of requests and hands every batch over as soon as it is done; journal.py keeps it. Equal
requests get equal answers: each carries the seed from which its tokens are drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from longvpo.errors import LongVPOError
from longvpo.json_text import find_json, fits
from longvpo.model import encode, encode_texts, load_model, load_processor, to_model
from longvpo.plain_text import tokenizer_of
from longvpo.provenance import model_name
from longvpo.recipe.sections import WriterSection
from longvpo.replies import Reply, read_text


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
    error: str = ""  # why it cannot be used; then `text` is only what there is of it
    whole: bool = True  # not cut at max_new_tokens

    @property
    def flaw(self) -> str:
        """The filter that drops it: `cut`, `writer` (its server refused or failed) or `empty`; none for an answer."""
        if not self.whole:
            return "cut"
        if self.error:
            return "writer"
        return "" if self.text.strip() else "empty"


class NoAnswersError(LongVPOError):
    """A server answers, and nothing that it says can be used."""


def answered(reply: Reply, request: Request, form: str = "text") -> Answer:
    """A reply as the answer to its request: one in JSON is whole when its object is, whatever follows that."""
    whole, error = reply.whole, reply.error
    if not whole and request.schema is not None and holds(reply.text, request.schema):
        whole, error = True, ""
    return Answer(reply.text, form, reply.prompt_tokens, reply.completion_tokens, error, whole)


def holds(text: str, schema: dict[str, Any]) -> bool:
    """Whether a text holds an object of the schema."""
    found = find_json(text)
    return found is not None and fits(found, schema)


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
    return [
        answered(
            replace(
                local_reply(tokenizer_of(processor), ids, model.generation_config.eos_token_id, max_new_tokens),
                prompt_tokens=before,
                completion_tokens=after,
            ),
            request,
        )
        for request, ids, before, after in zip(batch, written.tolist(), prompts, completions, strict=True)
    ]


def local_reply(tokenizer: Any, ids: list[int], ends: int | list[int] | None, limit: int) -> Reply:
    """What a model on this machine wrote, up to its end; one without an end was cut.

    Args:
        ids: tokens, with those that fill up the batch.
        ends: tokens that end an answer.
        limit: the most tokens that it could write.
    """
    last = [ends] if isinstance(ends, int) else ends or []
    place = next((place for place, token in enumerate(ids) if token in last), len(ids))
    special = set(tokenizer.all_special_ids).intersection(ids[:place])
    # a tokenizer's own tokens may frame the thinking: they are left in to be read
    said = tokenizer.decode(ids[:place], skip_special_tokens=not special)
    whole = place < len(ids) or len(ids) < limit
    return read_text(said, whole, limit, tokenizer.convert_ids_to_tokens(sorted(special)))


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
