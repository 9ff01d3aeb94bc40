"""How likely a model on this machine finds given answers, after only a text or after a video with a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from longvpo.errors import LongVPOError
from longvpo.models.batches import alike, core_of, prompt_inputs
from longvpo.models.features import takes_features
from longvpo.models.plain_text import TEXT, answer_ids, tokenizer_of
from longvpo.models.writer import Request


def answer_log_probs(
    model: Any, processor: Any, requests: list[Request], answers: list[str], batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of answers, their end tokens included, each after its request; seeds and temperatures of these
    mean nothing here.

    Returns:
        The sum over each answer's tokens, in nats, float64 of shape (n,); and how many tokens those are, (n,).
    """
    ids = [answer_ids(processor, answer) for answer in answers]
    sums, counts = np.zeros(len(requests)), np.zeros(len(requests), int)
    for place, log_probs in _log_probs(model, processor, requests, ids, batch_size):
        taken = log_probs[:-1].gather(1, torch.tensor(ids[place], device=log_probs.device)[:, None])
        sums[place], counts[place] = float(taken.double().sum()), len(ids[place])
    return sums, counts


def letter_log_probs(
    model: Any, processor: Any, requests: list[Request], letters: list[str], batch_size: int
) -> list[list[float]]:
    """Log-probabilities of single letters as answers, in nats, at the first token in which they differ.

    What all of them begin with is taken for said. So each request is read once, not once a letter.

    Args:
        letters: those of each request, such as ABCD.
    """
    said = [[answer_ids(processor, letter) for letter in some] for some in letters]
    same = [next(n for n, tokens in enumerate(zip(*ids, strict=False)) if len({*tokens}) == len(ids)) for ids in said]
    begins = [ids[0][:shared] for ids, shared in zip(said, same, strict=True)]
    found: list[list[float]] = [[]] * len(requests)
    for place, log_probs in _log_probs(model, processor, requests, begins, batch_size):
        found[place] = [float(log_probs[-1, ids[same[place]]]) for ids in said[place]]
    return found


def check_numbers(name: str, log_probs: Any) -> None:
    """Raises LongVPOError when log-probabilities that a model of this name computed are not all numbers."""
    if not all(np.isfinite(one).all() for one in log_probs):
        raise LongVPOError(
            f"the outputs of {name} are not numbers (NaN, or infinite): its weights are damaged, or their dtype is "
            "too small. Take another checkpoint, or set base.dtype=float32"
        )


def _log_probs(
    model: Any, processor: Any, requests: list[Request], ids: list[list[int]], batch_size: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """The place of each request, and what may follow it and each of the tokens after it: (tokens + 1, vocabulary).

    The head sees only these, row by row: the logits of whole prompts would not fit into memory.
    """
    core, tokenizer = core_of(model), tokenizer_of(processor)
    head, body = core.get_output_embeddings(), core.base_model
    batches = alike(requests, batch_size, takes_features(core, processor))
    for batch in tqdm(batches, desc="likelihood", leave=False):
        rows = [ids[place] for place in batch]
        with torch.no_grad():
            inputs = prompt_inputs(model, processor, [requests[place] for place in batch])
            before = inputs["input_ids"].shape[1]
            if any(rows):
                said = tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt")
                inputs = _followed(inputs, said)
            hidden = body(**inputs, use_cache=False).last_hidden_state[:, before - 1 :]
            for place, row, one in zip(batch, hidden, rows, strict=True):
                yield place, head(row[: len(one) + 1]).float().log_softmax(-1)


def _followed(prompts: dict[str, Any], said: Any) -> dict[str, Any]:
    """Model inputs of prompts with answers after them; an answer has no placeholders of a video."""
    found = dict(prompts)
    for name in TEXT:
        if name in prompts:
            tail = said.get(name, torch.zeros_like(said["input_ids"]))
            found[name] = torch.cat([prompts[name], tail.to(prompts[name])], dim=1)
    return found
