"""What users wrote, as tokens: plain text always, whatever it says.

The rule: `<video>`, `<|im_end|>` and every other control token of a tokenizer come only from the chat template and
from us. In a caption, a question or an answer they are letters like any others. A text without them has the tokens
that it always had.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any

TEXT = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")  # inputs with a value a token
PLACE = "\ue000user\ue000"  # stands for a user's text in a template


def control_tokens(processor: Any) -> re.Pattern[str]:
    """What matches any control token: the special ones, those that the chat template writes, and the placeholders.

    Args:
        processor: a processor or a tokenizer.
    """
    return _patterns(processor)[0]


@lru_cache(maxsize=8)
def _patterns(processor: Any) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What matches any control token, and what matches those that a tokenizer finds even in plain text."""
    tokenizer = tokenizer_of(processor)
    template = str(getattr(processor, "chat_template", None) or tokenizer.chat_template or "")
    added = tokenizer.added_tokens_decoder.values()
    special = {token.content for token in added if token.special}
    # white space is text in a template, even where a tokenizer has tokens of it
    others = {token.content for token in added if token.content in template and token.content.strip()} - special
    names = {text for name, text in vars(processor).items() if name.endswith("_token") and isinstance(text, str)}
    return _any_of(special | others | names), _any_of(others)


def _any_of(texts: set[str]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, texts), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def tokenizer_of(processor: Any) -> Any:
    """The tokenizer in a processor; the processor of a model only for text is the tokenizer itself."""
    from transformers import PreTrainedTokenizerBase

    return processor if isinstance(processor, PreTrainedTokenizerBase) else processor.tokenizer


def chat_text(processor: Any, content: str | list[dict[str, str]], answer: str | None = None) -> str:
    """The chat template's text of a user's message, up to where the answer begins; or with its answer, to the end.

    Args:
        content: a text for a model only for text; else the parts of the message.
    """
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if answer is not None:
        said = answer if isinstance(content, str) else [{"type": "text", "text": answer}]
        messages.append({"role": "assistant", "content": said})
    text: str = processor.apply_chat_template(messages, add_generation_prompt=answer is None, tokenize=False)
    return text


@lru_cache(maxsize=8)
def answer_frame(processor: Any) -> tuple[str, str]:
    """What a family writes before an answer and after it, up to its end token: SmolVLM2 a space before.

    It is read from the rendered conversation. Where that does not begin with the prompt, or says no end, there is
    nothing before an answer, and the tokenizer's own end token follows.
    """
    tokenizer = tokenizer_of(processor)
    content = PLACE if processor is tokenizer else [{"type": "text", "text": PLACE}]
    prompt, whole = chat_text(processor, content), chat_text(processor, content, PLACE)
    before, found, after = whole.removeprefix(prompt).partition(PLACE)
    if not whole.startswith(prompt) or not found:
        return "", tokenizer.eos_token
    end = control_tokens(processor).search(after)
    said = end and not after[: end.start()].strip()
    return before, after[: end.end()] if end and said else tokenizer.eos_token


def described(processor: Any) -> list[Any]:
    """What decides which tokens a processor makes, as JSON can hold it: its settings and templates, its vocabulary."""
    written = [processor.to_json_string(), processor.chat_template, answer_frame(processor)]
    return [written, sorted(tokenizer_of(processor).get_vocab().items())]


def answer_ids(processor: Any, answer: str) -> list[int]:
    """The tokens of an answer as its family writes it, with the end token: all that is trained of it."""
    tokenizer, (before, end) = tokenizer_of(processor), answer_frame(processor)
    if not control_tokens(processor).search(answer):
        return list(tokenizer(before + answer + end, add_special_tokens=False)["input_ids"])
    # the letters of what the template wrote before it stay with the answer, as in the text without control tokens
    frame = "" if control_tokens(processor).search(before) else before
    ahead, behind = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (before, end))
    return [*([] if frame else ahead), *plain_ids(processor, frame + answer), *behind]


def plain_ids(processor: Any, text: str) -> list[int]:
    """The tokens of a text that no template wrote."""
    tokenizer, (controls, found_anyway) = tokenizer_of(processor), _patterns(processor)
    if not controls.search(text):
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    # a token that is not special is not found in the two parts of it
    places = [0, *(match.start() + 1 for match in found_anyway.finditer(text)), len(text)]
    parts = [text[start:end] for start, end in pairwise(places)]
    return [token for part in parts for token in _letters(tokenizer, part)]


def _letters(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def encode_plainly(
    processor: Any, texts: list[str], chat: Callable[[str], str], inputs_of: Callable[[list[str]], dict[str, Any]]
) -> dict[str, Any]:
    """Model inputs of some chats, in which no control token comes from a user's text.

    A text with control tokens is left out while the chats are encoded. One control token without other meaning to the
    processor holds its place. The letters of the text then replace that token.

    Args:
        chat: the template's text around a user's text.
        inputs_of: the inputs of some chats, padded on the left.
    """
    controls = control_tokens(processor)
    if not any(map(controls.search, texts)):
        return inputs_of([chat(text) for text in texts])
    tokenizer = tokenizer_of(processor)
    mark = _mark(processor)
    inputs = inputs_of([chat(mark if controls.search(text) else text) for text in texts])
    # how often the template itself writes that token before the user's text
    before = chat(PLACE).split(PLACE)[0].count(mark)
    mark_id = tokenizer.convert_tokens_to_ids(mark)
    rows: dict[str, list[Any]] = {name: [] for name in TEXT if name in inputs}
    for number, text in enumerate(texts):
        kept = inputs["attention_mask"][number].bool()
        row = {name: inputs[name][number][kept] for name in rows}
        if controls.search(text):
            place = int((row["input_ids"] == mark_id).nonzero()[before])
            row = _replaced(row, place, plain_ids(processor, text))
        for name, values in row.items():
            rows[name].append(values)
    return inputs | padded(processor, rows)


def _mark(processor: Any) -> str:
    """A control token that is one token wherever it stands, and that the processor does not replace."""
    tokenizer = tokenizer_of(processor)
    names = {name for name in vars(processor) if name.endswith("_token")} if processor is not tokenizer else set()
    used = {getattr(processor, name) for name in names} | {getattr(tokenizer, name, None) for name in names}
    first = {tokenizer.eos_token: 0, tokenizer.pad_token: 1}
    usable = [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special and not (token.lstrip or token.rstrip or token.single_word) and token.content not in used
    ]
    return min(usable or [tokenizer.eos_token], key=lambda content: first.get(content, 2))


def _replaced(row: dict[str, Any], place: int, ids: list[int]) -> dict[str, Any]:
    """A row's values a token with the token at `place` replaced by others, which are text and attended to."""
    import torch

    filled = {"input_ids": torch.tensor(ids), "attention_mask": torch.ones(len(ids))}
    return {
        name: torch.cat([values[:place], filled.get(name, torch.zeros(len(ids))).to(values), values[place + 1 :]])
        for name, values in row.items()
    }


def padded(processor: Any, rows: dict[str, list[Any]]) -> dict[str, Any]:
    """The rows' values a token, by their names in TEXT, as tensors (n, tokens), padded on the left."""
    from torch.nn.utils.rnn import pad_sequence

    fill = {"input_ids": tokenizer_of(processor).pad_token_id}
    return {
        name: pad_sequence(values, batch_first=True, padding_value=fill.get(name, 0), padding_side="left")
        for name, values in rows.items()
    }
