"""A writer that runs a model in this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from longvpo.models.batches import alike, batch_frames, core_of, prompt_inputs
from longvpo.models.encode import tells_times
from longvpo.models.features import takes_features
from longvpo.models.likelihood import answer_log_probs, check_numbers
from longvpo.models.load import load_model, load_processor, writers_adapter
from longvpo.models.plain_text import tokenizer_of
from longvpo.models.replies import Reply, read_reply
from longvpo.models.revision import model_name
from longvpo.models.writer import Answer, Ask, Keep, Pairs, Request, answered
from longvpo.recipe.sections import WriterSection


class LocalWriter:
    """A transformers model on this machine, with its adapter: for video and text, or, to judge, only for text."""

    def __init__(self, section: WriterSection) -> None:
        self.section = section
        self.settings = section.model_dump(include={"dtype", "quantization", "batch_size", "max_new_tokens"})
        adapter = writers_adapter(section)
        self.model = load_model(section, adapter)
        self.name = model_name(section, adapter)
        self.processor = load_processor(section)
        self.ragged = takes_features(core_of(self.model), self.processor)
        if tells_times(self.processor):
            self.settings["times"] = True

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return alike(requests, self.section.batch_size, self.ragged)

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="frames") as ahead:  # decodes for the next batch meanwhile
            following = [ahead.submit(batch_frames, batch) for batch in batches[:1]]
            for number, (batch, after) in enumerate(zip(batches, [*batches[1:], None], strict=True)):
                videos = following.pop().result()
                if after:
                    following.append(ahead.submit(batch_frames, after))
                answers = answer(self.model, self.processor, batch, self.section.max_new_tokens, videos)
                keep(number, answers)

    choosing = "mean log-probability of an answer's tokens after the question alone"

    def prefers(self, pairs: Pairs, ask: Ask, seed: int) -> list[float | None]:
        questions, first, second = (list(texts) for texts in zip(*pairs, strict=True))
        requests = [Request(question) for question in questions]
        one, other = (
            np.divide(*answer_log_probs(self.model, self.processor, requests, answers, self.section.batch_size))
            for answers in (first, second)
        )
        check_numbers(self.name, (one, other))
        return [*((one > other) + 0.5 * (one == other)).tolist()]


def answer(
    model: Any,
    processor: Any,
    batch: list[Request],
    max_new_tokens: int,
    videos: list[np.ndarray] | None = None,
    streamer: Any = None,
) -> list[Answer]:
    """A model's answers to one batch of `alike` requests.

    Args:
        videos: the requests' frames, where they were read before.
        streamer: transformers': it is handed each token of a lone request's answer.
    """
    import torch
    from transformers import LogitsProcessorList

    drawing = LogitsProcessorList([sampler(batch)]) if batch[0].temperature > 0 else None
    with torch.no_grad():
        inputs = prompt_inputs(model, processor, batch, videos)
        settings = {"max_new_tokens": max_new_tokens, "do_sample": False, "logits_processor": drawing}
        output = model.generate(**inputs, **settings, streamer=streamer)
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
    """What a model on this machine wrote, up to its end; a text without an end was truncated.

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
    return read_reply(said, whole, limit, tokenizer.convert_ids_to_tokens(sorted(special)))


def sampler(batch: list[Request]) -> Callable[[Any, Any], Any]:
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
