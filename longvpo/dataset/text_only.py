"""The text-only baseline: how often a model that sees no video picks the chosen answer.

Half is what it should be. Far above it, the texts alone give the answer away, and training may learn that instead of
looking.

A model on this machine prefers the answer whose tokens are likelier, on average, after the question alone. A server
does not say how likely a text is: it is asked which of the two answers is right, their order drawn at random.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import tqdm

from longvpo.clips.rows import Triplet
from longvpo.dataset.session import Session
from longvpo.models.encode import encode_texts, to_model
from longvpo.models.endpoint import EndpointWriter
from longvpo.models.local import LocalWriter
from longvpo.models.plain_text import answer_ids, tokenizer_of
from longvpo.models.text import find_json
from longvpo.models.writer import Request
from longvpo.recipe.prompts import TEXT_ONLY, TEXT_ONLY_SCHEMA

BY_LIKELIHOOD = "mean log-probability of an answer's tokens after the question alone"
BY_ASKING = "asked which answer is right, without a video, in random order"


def text_only(session: Session, triplets: list[Triplet]) -> dict[str, Any]:
    """The writer's choices without a video, on rows of one stage that are drawn at random.

    Returns:
        model, method, rows; prefers_chosen, the share of rows; error, of that share, one standard deviation;
        unreadable, choices that counted half. Or not_run, the reason.
    """
    limit = session.recipe.text_only
    if limit == 0:
        return {"not_run": "switched off by `text_only: 0`"}
    if len(triplets) > limit:
        rng = np.random.default_rng(session.recipe.seed)
        triplets = [triplets[place] for place in sorted(rng.choice(len(triplets), limit, replace=False))]
    if isinstance(session.writer, LocalWriter):
        method, points, unreadable = BY_LIKELIHOOD, _likelier(session.writer, triplets), 0
    elif isinstance(session.writer, EndpointWriter):
        method = BY_ASKING
        points, unreadable = _asked(session, triplets)
    else:
        return {"not_run": "the writer is neither a model on this machine nor behind a server"}
    share = float(np.mean(points))
    return {
        "model": session.writer.name,
        "method": method,
        "rows": len(triplets),
        "prefers_chosen": round(share, 4),
        "error": round(float(np.sqrt(max(share * (1 - share), 1e-9) / len(triplets))), 4),
        "unreadable": unreadable,
    }


def _likelier(writer: LocalWriter, triplets: list[Triplet]) -> list[float]:
    """1 where chosen is likelier than rejected, 0 where it is less likely, a half where both are as likely."""
    questions = [triplet.prompt for triplet in triplets]
    chosen, rejected = (
        mean_log_probs(writer.model, writer.processor, questions, answers, writer.section.batch_size)
        for answers in ([triplet.chosen for triplet in triplets], [triplet.rejected for triplet in triplets])
    )
    return ((chosen > rejected) + 0.5 * (chosen == rejected)).tolist()


def mean_log_probs(
    model: Any, processor: Any, questions: list[str], answers: list[str], batch_size: int
) -> np.ndarray:
    """Mean log-probability of the tokens of each answer, its end included, after its question: float64 of shape (n,).

    The head sees the answers' tokens alone: the logits of whole prompts would not fit into memory.
    """
    import torch

    tokenizer = tokenizer_of(processor)
    order = np.argsort([len(question) + len(answer) for question, answer in zip(questions, answers, strict=True)])
    found = np.zeros(len(questions))
    head, body = model.get_output_embeddings(), model.base_model
    for start in tqdm(range(0, len(order), batch_size), desc="text alone", leave=False):
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


def _asked(session: Session, triplets: list[Triplet]) -> tuple[list[float], int]:
    """1, 0, or a half where the choice could not be read, for each triplet, and how many could not."""
    first = np.random.default_rng(session.recipe.seed).random(len(triplets)) < 0.5
    requests = []
    for triplet, chosen_first in zip(triplets, first, strict=True):
        pair = (triplet.chosen, triplet.rejected) if chosen_first else (triplet.rejected, triplet.chosen)
        text = TEXT_ONLY.format(question=triplet.prompt, first=pair[0], second=pair[1])
        requests.append(Request(text, schema=TEXT_ONLY_SCHEMA))
    points, unreadable = [], 0
    for answer, chosen_first in zip(session.ask(requests, "text alone", {}), first, strict=True):
        said = (find_json(answer.text) or {}).get("right")
        if said in ("A", "B"):
            points.append(float((said == "A") == chosen_first))
        else:
            points.append(0.5)
            unreadable += 1
    return points, unreadable
