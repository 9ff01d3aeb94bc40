"""Answers while they are written: what is heard, and what waits."""

from __future__ import annotations

import torch
from support.world import TINY

from longvpo.models.load import load_processor
from longvpo.models.plain_text import tokenizer_of
from longvpo.models.stream import Listener


class Letters:
    """Stands for a tokenizer whose tokens are characters."""

    all_special_ids = ()

    @property
    def tokenizer(self) -> Letters:
        return self

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        return "".join(map(chr, ids))

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return []


def heard(written: str, end: int = 0) -> list[str]:
    """The pieces that are heard of a text which comes character by character, before its end is known."""
    pieces: list[str] = []
    listener = Listener(Letters(), end, pieces.append)
    listener.put(torch.tensor([[1, 2, 3]]))  # the prompt
    for letter in written:
        listener.put(torch.tensor([ord(letter)]))
    listener.end()
    return pieces


def test_words_are_heard_when_they_are_whole() -> None:
    assert heard("a red ring, then") == ["a ", "red ", "ring, "]
    assert heard("red") == []


def test_thinking_is_not_heard() -> None:
    said = "<think>\nIt may be red. No, blue.\n</think>\n\nThe ring is blue."
    assert "".join(heard(said)) == "The ring is "
    assert heard(said[:40]) == []


def test_the_end_brings_what_is_left_once() -> None:
    pieces: list[str] = []
    listener = Listener(Letters(), 0, pieces.append)
    listener.put(torch.tensor([[1]]))
    for letter in "the sea":
        listener.put(torch.tensor([ord(letter)]))
    for _ in range(2):
        listener.hand_on("the sea")
    assert pieces == ["the ", "sea"]


def test_a_real_tokenizer_gives_its_words() -> None:
    processor = load_processor(TINY)
    ids = tokenizer_of(processor)("in the sea and in the fog", add_special_tokens=False)["input_ids"]
    pieces: list[str] = []
    listener = Listener(processor, tokenizer_of(processor).eos_token_id, pieces.append)
    listener.put(torch.tensor([[5]]))
    for one in ids:
        listener.put(torch.tensor([one]))
    assert "".join(pieces) == "in the sea and in the "
