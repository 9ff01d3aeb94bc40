"""How likely given answers are: of every family, against the logits of a row alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from longvpo.errors import LongVPOError
from longvpo.models.batches import core_of
from longvpo.models.encode import encode, encode_texts, to_model
from longvpo.models.likelihood import answer_log_probs, check_numbers, letter_log_probs
from longvpo.models.load import load_model, load_processor
from longvpo.models.plain_text import TEXT, answer_ids
from longvpo.models.writer import Request
from longvpo.recipe.sections import ModelSection

QUESTIONS = ["what color is the ring?", "who is it?", "where are the ring and the bar, and what color are they?"]
ANSWERS = ["red", "a ring that moves to the left", "in the fog and in the sea"]


def about(question: str, frames: int) -> Request:
    """A question about a video of that many frames of noise; about none it is a text alone."""
    if not frames:
        return Request(question)
    video = np.random.default_rng(frames).integers(0, 255, (frames, 56, 84, 3), np.uint8)
    times = tuple(0.5 + one for one in range(frames))
    return Request(question, times=times, seconds=float(frames), frames=partial(np.array, video))


def test_what_a_broken_model_computes_is_no_number() -> None:
    check_numbers("someone/broken@1", [np.zeros(2), [-1.0, -2.5]])
    for broken in (np.nan, np.inf, -np.inf):
        with pytest.raises(LongVPOError, match=r"^the outputs of someone/broken@1 are not numbers"):
            check_numbers("someone/broken@1", [[-1.0], [-0.5, broken]])


@pytest.mark.parametrize("frames", [(0, 0, 0), (4, 2, 4)])
def test_of_every_family_the_log_probabilities_are_those_of_a_row_alone(base: Path, frames: tuple[int, ...]) -> None:
    """Batches are padded on both sides, and their videos may be features; a row of its own has neither."""
    section = ModelSection(model=str(base), dtype="float32")
    model, processor = load_model(section), load_processor(section)
    requests = [about(question, count) for question, count in zip(QUESTIONS, frames, strict=True)]
    expected, counts = [], []
    for request, answer in zip(requests, ANSWERS, strict=True):
        if request.frames:
            row = encode(processor, [request.text], [request.frames()], [request.shown])
        else:
            row = encode_texts(processor, [request.text])
        row = to_model(row, model)
        ids = torch.tensor([answer_ids(processor, answer)])
        length = row["input_ids"].shape[1]
        for name, tail in ((name, ids if name == "input_ids" else torch.zeros_like(ids)) for name in TEXT):
            if name in row:
                tail = torch.ones_like(ids) if name == "attention_mask" else tail
                row[name] = torch.cat([row[name], tail], dim=1)
        with torch.no_grad():
            logits = core_of(model)(**row).logits[0, length - 1 : -1]
        expected.append(float(logits.log_softmax(-1).gather(1, ids[0][:, None]).sum()))
        counts.append(ids.shape[1])
    for batch_size in (1, 2, 3):
        found, tokens = answer_log_probs(model, processor, requests, ANSWERS, batch_size)
        assert found == pytest.approx(expected, abs=1e-4)
        assert tokens.tolist() == counts


def test_of_every_family_letters_are_as_likely_as_their_tokens_say(base: Path) -> None:
    """Whole answers differ in their letters alone, so that their likelihoods differ as much but for the end tokens."""
    section = ModelSection(model=str(base), dtype="float32")
    model, processor = load_model(section), load_processor(section)
    requests = [about(question, count) for question, count in zip(QUESTIONS, (4, 2, 4), strict=True)]
    found = letter_log_probs(model, processor, requests, ["ABCD", "AB", "ABC"], 3)
    assert [len(one) for one in found] == [4, 2, 3]
    for request, numbers in zip(requests, found, strict=True):
        for letter, number in zip("ABCD", numbers, strict=False):
            ids = answer_ids(processor, letter)
            others = answer_ids(processor, "E")
            shared = next(place for place, (one, other) in enumerate(zip(ids, others, strict=False)) if one != other)
            row = to_model(encode(processor, [request.text], [request.frames()], [request.shown]), model)
            tail = torch.tensor([ids[:shared]], dtype=torch.long)
            for name in TEXT:
                if name in row:
                    more = tail if name == "input_ids" else torch.full_like(tail, name == "attention_mask")
                    row[name] = torch.cat([row[name], more], dim=1)
            with torch.no_grad():
                logits = core_of(model)(**row).logits[0, -1]
            assert number == pytest.approx(float(logits.log_softmax(-1)[ids[shared]]), abs=1e-4)
