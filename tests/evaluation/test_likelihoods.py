"""Likelihoods that are kept: all of them are numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longvpo.errors import LongVPOError, VideoError
from longvpo.evaluation import likelihoods
from longvpo.evaluation.ask import Asked
from longvpo.evaluation.likelihoods import Likelihoods, likeliest
from longvpo.evaluation.scoring import ExamQuestion
from longvpo.models.writer import Request


class Broken:
    """A model whose outputs are not numbers, but for the first request's."""

    name = "someone/broken@1"
    settings: dict[str, Any] = {}  # noqa: RUF012
    model = processor = None

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return [[place] for place in range(len(requests))]


def unreadable() -> np.ndarray:
    raise VideoError("it breaks off")


def test_what_is_no_number_is_an_error_that_names_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = {"first": -1.0}
    monkeypatch.setattr(
        likelihoods,
        "answer_log_probs",
        lambda model, processor, requests, *_: (np.array([number.get(one.text, np.nan) for one in requests]), None),
    )
    monkeypatch.setattr(
        likelihoods,
        "letter_log_probs",
        lambda model, processor, requests, letters, _: [[np.nan] * len(some) for some in letters],
    )
    writer: Any = Broken()
    said = "^the outputs of someone/broken@1 are not numbers"
    with pytest.raises(LongVPOError, match=said):
        Likelihoods(tmp_path).of(writer, [(Request("first"), "red"), (Request("second"), "red")], "")
    exam = ExamQuestion("what color?", ("red",), scoring="choice", options=("red", "blue"))
    asked = [Asked(exam, Request(exam.prompt), "needle", "1", "", "", 1)]
    with pytest.raises(LongVPOError, match=said):
        likeliest(writer, Likelihoods(tmp_path), asked, "base")
    (file,) = tmp_path.iterdir()
    (line,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert line[1:] == [-1.0], "only numbers are kept"
    file.write_text(json.dumps([line[0], float("nan")]) + "\n")
    assert len(Likelihoods(tmp_path)) == 0, "what an earlier version kept is computed again"
    silent = Request("third", times=(0.5,), media="third", frames=unreadable)
    assert np.isnan(Likelihoods(tmp_path).of(writer, [(silent, "red")], "")).all(), "no model computed this one"
