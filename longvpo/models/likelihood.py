"""How likely a model on this machine finds given answers, after a text alone or after a video with a text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from longvpo.models.batches import alike, core_of, prompt_inputs
from longvpo.models.features import takes_features
from longvpo.models.plain_text import TEXT, answer_ids, tokenizer_of
from longvpo.models.writer import Request


@torch.no_grad()
def answer_log_probs(
    model: Any, processor: Any, requests: list[Request], answers: list[str], batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of answers, their end tokens included, each after its request; seeds and temperatures of these
    mean nothing here.

    The head sees only the answers' tokens, row by row: the logits of whole prompts would not fit into memory.

    Returns:
        The sum over each answer's tokens, in nats, float64 of shape (n,); and how many tokens those are, (n,).
    """
    core, tokenizer = core_of(model), tokenizer_of(processor)
    head, body = core.get_output_embeddings(), core.base_model
    sums, counts = np.zeros(len(requests)), np.zeros(len(requests), int)
    batches = alike(requests, batch_size, takes_features(core, processor))
    for batch in tqdm(batches, desc="likelihood", leave=False):
        ids = [answer_ids(processor, answers[place]) for place in batch]
        said = tokenizer.pad({"input_ids": ids}, padding_side="right", return_tensors="pt")
        inputs = _followed(prompt_inputs(model, processor, [requests[place] for place in batch]), said)
        before = inputs["input_ids"].shape[1] - said["input_ids"].shape[1]
        hidden = body(**inputs, use_cache=False).last_hidden_state[:, before - 1 : -1]
        for place, row, one in zip(batch, hidden, ids, strict=True):
            log_probs = head(row[: len(one)]).float().log_softmax(-1)
            taken = log_probs.gather(1, torch.tensor(one, device=log_probs.device)[:, None])
            sums[place], counts[place] = float(taken.double().sum()), len(one)
    return sums, counts


def _followed(prompts: dict[str, Any], said: Any) -> dict[str, Any]:
    """Model inputs of prompts with answers after them; an answer has no placeholders of a video."""
    found = dict(prompts)
    for name in TEXT:
        if name in prompts:
            tail = said.get(name, torch.zeros_like(said["input_ids"]))
            found[name] = torch.cat([prompts[name], tail.to(prompts[name])], dim=1)
    return found
