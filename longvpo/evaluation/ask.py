"""Questions are asked, answers are compared, and some of the wrong ones are kept."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

from longvpo.evaluation.scoring import ExamQuestion
from longvpo.models.batches import alike, core_of
from longvpo.models.features import takes_features
from longvpo.models.local import answer
from longvpo.models.writer import Request
from longvpo.recipe.evaluation import EvaluateRecipe

FAILURES = 5  # wrong answers of a model that are kept


def ask(model: Any, processor: Any, recipe: EvaluateRecipe, requests: list[Request], bar: tqdm) -> list[str]:
    """The model's answer to each request."""
    said = [""] * len(requests)
    for batch in alike(requests, recipe.batch_size, takes_features(core_of(model), processor)):
        answers = answer(model, processor, [requests[i] for i in batch], recipe.max_new_tokens)
        for i, one in zip(batch, answers, strict=True):
            said[i] = one.text
        bar.update(len(batch))
    return said


def gallery(wrong: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some wrong answers for a card: the shortest context of each kind that failed, then longer ones."""
    ordered = sorted(wrong, key=lambda one: one["size"])
    kinds = {one["where"].split(",")[0]: one for one in reversed(ordered)}  # the shortest of each stays
    picked = list(kinds.values())[-FAILURES:]
    return [{name: value for name, value in one.items() if name != "size"} for one in reversed(picked)]


def failure(asked: ExamQuestion, said: str, size: int, where: str) -> dict[str, Any]:
    true = " or ".join(asked.answers)
    return {"question": asked.question, "answer": true, "said": said, "where": where, "size": size}
