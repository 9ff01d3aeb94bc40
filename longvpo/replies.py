"""What a model said, read in one place: behind a server or on this machine, now or from an old journal.

The rule: thinking is left out, and nothing in it is an answer. A control token of a chat template ends an answer. What
is no character is left out. What is then no whole answer has a reason, and is data for one run: dropped, not kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# what a server calls the end of a reply, in lower case; any other end is a whole reply
CUT = {"length", "max_tokens", "max_new_tokens", "max_output_tokens", "model_length", "incomplete"}
BLOCKED = {"content_filter", "refusal", "safety", "sensitive", "recitation", "blocklist", "prohibited_content", "spii"}
BROKEN = {"error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource"}

NAMES = "think|thinking|thought|thoughts|reason|reasoning|reflection|analysis|scratchpad"
OPENS = re.compile(
    rf"<(?:\w+:)?(?:{NAMES})>|\[think\]|◁think▷"
    r"|<\|begin_of_thought\|>|<\|start_thinking\|>|<\|channel>(?:thought|analysis)|<unused94>(?:thought)?",
    re.IGNORECASE,
)
CLOSES = re.compile(
    rf"</(?:\w+:)?(?:{NAMES})>|\[/think\]|◁/think▷"
    r"|<\|end_of_thought\|>|<\|end_thinking\|>|<channel\|>|<unused95>",
    re.IGNORECASE,
)
# gpt-oss: the answer stands in the channel `final`; without control tokens their words are left
CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)(?:(?!<\|message\|>).)*<\|message\|>", re.DOTALL)
CHANNELS_WITHOUT_TOKENS = re.compile(r"analysis(?=[A-Z\s]).*?assistantfinal", re.DOTALL)
# what some models put their answer into
WRAPPED = re.compile(r"\s*<(answer|response|solution|final_answer|output)>((?:(?!</?\1>).)*)(?:</\1>\s*)?", re.DOTALL)
BOXES = re.compile(r"<\|(?:begin|end)_of_(?:box|solution)\|>|<\|(?:START|END)_RESPONSE\|>")

HEADER = r"(?:assistant|model)\s*(?:\n|<\|end_header_id\|>)"  # after a control token; the first also without one
CONTROL = (
    r"<\|[a-zA-Z][^<>|\s]{0,40}\|?>|<[a-zA-Z][^<>|\s]{0,40}\|>|<｜[^<>｜]{1,40}｜>|</?s>|\[/?INST\]|<</?SYS>>"
    r"|<(?:bos|eos|pad|start_of_turn|end_of_turn|end_of_utterance|endoftext)>"
)
# surrogates are halves of a character; the others are no text in any language
NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
SHOWN = 120  # characters of what was said, in a reason


@dataclass(frozen=True)
class Reply:
    """One reply of a model.

    Attributes:
        text: the answer; it may be cut.
        error: why it cannot be used; empty for a whole answer, and where there is no text.
        whole: not cut at the limit of tokens.
    """

    text: str
    error: str = ""
    whole: bool = True
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def read_text(said: str, whole: bool = True, limit: int | None = None, controls: Iterable[str] = ()) -> Reply:
    """What a model wrote, as a reply.

    Args:
        whole: it came to its end by itself.
        limit: of tokens, for the reason.
        controls: the tokenizer's own control tokens, beside those that are known.
    """
    answer = without_thinking(said)
    text = plain(answer or "", controls)
    if answer is None and whole:
        return Reply("", "all of it is thinking that has no end: switch the model's thinking off")
    if not whole:
        where = f"max_new_tokens ({limit})" if limit else "max_new_tokens"
        what = f"it was cut at {where}: {text[:SHOWN]!r}; set that higher" if text else f"{where} went into thinking"
        return Reply(text, what if text else f"all of {what}: set that higher, or switch thinking off", whole=False)
    return Reply(text)


def without_thinking(said: str) -> str | None:
    """What follows the thinking; None where it does not end."""
    channels = list(CHANNEL.finditer(said))
    if channels:
        final = [one for one in channels if one.group(1) == "final"]
        return said[final[-1].end() :] if final else None
    if re.match(r"analysis[A-Z]", said) and not CHANNELS_WITHOUT_TOKENS.match(said):
        return None
    said = CHANNELS_WITHOUT_TOKENS.sub("", said, count=1) if said.startswith("analysis") else said
    kept, depth, place = "", 0, 0
    marks = [(one.start(), one.end(), 1) for one in OPENS.finditer(said)]
    marks += [(one.start(), one.end(), -1) for one in CLOSES.finditer(said)]
    for start, end, step in sorted(marks):
        if depth == 0:
            # a mark that closes what none opened: the prompt did, and all before it was thinking
            kept = kept + said[place:start] if step > 0 else ""
        depth = 1 if step > 0 else 0  # models do not nest their thinking, but quote its marks
        place = end
    if depth:
        return None
    kept += said[place:]
    wrapped = WRAPPED.fullmatch(kept)
    return wrapped.group(2) if wrapped else kept


def plain(said: str, controls: Iterable[str] = ()) -> str:
    """A text up to the first control token, without what is no character.

    Control tokens in a JSON object do not end it: the strings in it are read one by one.
    """
    said = BOXES.sub("", said)
    ends = re.compile("|".join([CONTROL, *map(re.escape, sorted(controls, key=len, reverse=True))]))
    while begins := re.match(rf"\s*(?:(?:{ends.pattern})(?:\s*{HEADER})?|assistant\s*\n)", said):
        said = said[begins.end() :]
    if "{" not in said:
        said = ends.split(said, maxsplit=1)[0]
    return characters(said).strip()


def characters(said: str) -> str:
    """A text without halves of characters; two halves that belong together become one."""
    if NO_CHARACTER.search(said) is None:
        return said
    whole = said.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    return NO_CHARACTER.sub("", whole)


def read_choice(choice: Mapping[str, Any], message: Mapping[str, Any], limit: int | None) -> Reply:
    """The reply in a choice of the chat protocol."""
    finish = str(choice.get("finish_reason") or "").lower()
    said, refused = _parts(message.get("content"))
    refused = refused or str(message.get("refusal") or "")
    if refused or finish in BLOCKED:
        return Reply("", f"the model refused: {_line(refused) or f'its reply ends with {finish}'}")
    reply = read_text(said, finish not in CUT, limit)
    if reply.text or not reply.whole:
        return reply
    if message.get("tool_calls") or finish in ("tool_calls", "function_call"):
        return Reply("", "the model called a tool and gave no text: start its server without tools")
    if message.get("reasoning_content") or message.get("reasoning"):
        return Reply("", "its reasoning holds all that it said: switch the model's thinking off")
    return reply


def _parts(content: Any) -> tuple[str, str]:
    """The text of a message's content, which may come in parts, and the refusal in it."""
    if isinstance(content, str):
        return content, ""
    said, refused = [], []
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            said.append(part)
        elif isinstance(part, Mapping):
            kind, text = part.get("type", "text"), part.get("text")
            if isinstance(part.get("refusal"), str):
                refused.append(part["refusal"])
            elif kind in ("text", "output_text") and isinstance(text, str):
                said.append(text)
    return "".join(said), " ".join(refused)


def _line(said: str) -> str:
    return " ".join(characters(said).split())[:300]
