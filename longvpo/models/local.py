"""A writer that runs a model in this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from longvpo.models.encode import encode, encode_texts, tells_times, to_model
from longvpo.models.features import ragged_inputs, takes_features
from longvpo.models.load import load_model, load_processor, writers_adapter
from longvpo.models.plain_text import answer_ids, tokenizer_of
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
        one, other = (
            mean_log_probs(self.model, self.processor, questions, answers, self.section.batch_size)
            for answers in (first, second)
        )
        return [*((one > other) + 0.5 * (one == other)).tolist()]


FRAMES = 64  # a request of that many counts as one of a batch's `size`, as video.max_frames has it by default


def alike(requests: list[Request], size: int, ragged: bool) -> list[list[int]]:
    """Indices of all requests in batches of at most `size`, and of `size` times FRAMES frames, padding included.

    Those of a batch have one temperature, and all of them a video or none. The longest come first, each beside those
    nearest in length: little is padded, and memory that does not suffice shows at once.

    Args:
        ragged: whether the model takes videos of different lengths in one batch; else those have equal numbers of
            frames.
    """

    def kind(index: int) -> tuple[bool, float, int]:
        one = requests[index]
        return one.count > 0, one.temperature, 0 if ragged else one.count

    def length(index: int) -> int:
        return requests[index].count or len(requests[index].text)

    found: list[list[int]] = []
    for index in sorted(range(len(requests)), key=lambda index: (kind(index), -length(index))):
        last = found[-1] if found else [index]
        fits = len(last) < size and (len(last) + 1) * requests[last[0]].count <= size * FRAMES
        if found and fits and kind(last[0]) == kind(index):
            last.append(index)
        else:
            found.append([index])
    return found


def core_of(model: Any) -> Any:
    """The model itself, out of PEFT's."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def batch_frames(batch: list[Request]) -> list[np.ndarray]:
    """The frames of all requests that have some."""
    return [request.frames() for request in batch if request.frames]


def answer(
    model: Any,
    processor: Any,
    batch: list[Request],
    max_new_tokens: int,
    videos: list[np.ndarray] | None = None,
) -> list[Answer]:
    """A model's answers to one batch of `alike` requests.

    Args:
        videos: the requests' frames, where they were read before.
    """
    import torch
    from transformers import LogitsProcessorList

    texts = [request.text for request in batch]
    videos = batch_frames(batch) if videos is None else videos
    shown, core = [request.shown for request in batch], core_of(model)
    drawing = LogitsProcessorList([sampler(batch)]) if batch[0].temperature > 0 else None
    with torch.no_grad():
        if videos and takes_features(core, processor):
            inputs = ragged_inputs(core, processor, texts, videos, shown)
        else:
            plain = encode(processor, texts, videos, shown) if videos else encode_texts(processor, texts)
            inputs = to_model(plain, model)
        output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, logits_processor=drawing)
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


def mean_log_probs(
    model: Any, processor: Any, questions: list[str], answers: list[str], batch_size: int
) -> np.ndarray:
    """Mean log-probability of the tokens of each answer, its end included, after its question: float64 of shape (n,).

    The head sees only the answers' tokens: the logits of whole prompts would not fit into memory.
    """
    import torch

    tokenizer = tokenizer_of(processor)
    order = np.argsort([len(question) + len(answer) for question, answer in zip(questions, answers, strict=True)])
    found = np.zeros(len(questions))
    core = core_of(model)
    head, body = core.get_output_embeddings(), core.base_model
    for start in tqdm(range(0, len(order), batch_size), desc="text only", leave=False):
        places = order[start : start + batch_size]
        prompts = encode_texts(processor, [questions[place] for place in places])
        answer = tokenizer.pad(
            {"input_ids": [answer_ids(processor, answers[place]) for place in places]},
            padding_side="right",
            return_tensors="pt",
        )
        inputs = {name: torch.cat([prompts[name], answer[name]], dim=1) for name in ("input_ids", "attention_mask")}
        length = answer["input_ids"].shape[1]
        with torch.no_grad():
            hidden = body(**to_model(inputs, model)).last_hidden_state[:, -length - 1 : -1]
            log_probs = head(hidden).float().log_softmax(-1).cpu()
        taken = log_probs.gather(2, answer["input_ids"][:, :, None])[:, :, 0]
        mask = answer["attention_mask"]
        found[places] = ((taken * mask).sum(1) / mask.sum(1)).double().numpy()
    return found
