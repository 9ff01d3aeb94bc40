"""An answer while it is written.

The rule: what is heard is what the answer will hold, word by word. Thinking is not heard, as replies.py reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from longvpo.models.local import LocalWriter, answer, local_reply
from longvpo.models.plain_text import tokenizer_of
from longvpo.models.writer import Answer, Request

Hear = Callable[[str], None]  # takes the next piece of a text


def answer_aloud(writer: LocalWriter, request: Request, hear: Hear) -> Answer:
    """A model's answer to one request; `hear` gets it piece by piece, and the pieces together are its text."""
    limit = writer.section.max_new_tokens
    listener = Listener(writer.processor, writer.model.generation_config.eos_token_id, hear)
    (whole,) = answer(writer.model, writer.processor, [request], limit, streamer=listener)
    listener.hand_on(whole.text)
    return whole


class Listener:
    """A streamer of transformers: it is handed the prompt's tokens, then each new one."""

    def __init__(self, processor: Any, ends: int | list[int] | None, hear: Hear) -> None:
        self.tokenizer, self.ends, self.hear = tokenizer_of(processor), ends, hear
        self.ids: list[int] | None = None  # tokens of the answer so far
        self.said = ""

    def put(self, value: Any) -> None:
        if self.ids is None:  # the prompt
            self.ids = []
            return
        self.ids += value.flatten().tolist()
        text = local_reply(self.tokenizer, self.ids, self.ends, len(self.ids) + 1).text
        # the last word may not be complete, or may become a mark of thinking
        self.hand_on(text[: max(text.rfind(" "), text.rfind("\n")) + 1])

    def end(self) -> None: ...

    def hand_on(self, text: str) -> None:
        """The part of the text that was not heard yet. A text whose start differs from what was heard waits for the
        end."""
        if text.startswith(self.said):
            piece, self.said = text[len(self.said) :], text
            if piece:
                self.hear(piece)
