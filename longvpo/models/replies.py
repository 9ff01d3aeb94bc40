"""What a model said, read in one place: behind a server or on this machine, now or from an old journal.

The rule: thinking is left out, and nothing in it is an answer. A control token of a chat template ends an answer. What
is not a character is left out. What is then not a whole answer gets a reason. It is data for one run: dropped, not
kept.

An answer may speak of those marks, so that not every one counts. None inside a JSON object does: its strings are read
one by one. A mark of thinking counts by where it stands:
- One that opens: at the start of a line, or before a line break or a JSON object.
- One that closes what is open: the first that is not quoted; the last, where all are.
- A mark that closes what the prompt opened. It is not quoted. It stands at the start or end of a line, before JSON or
a fence, or after a sentence, several lines or a long text. - After the first that counts: all that are not quoted. A
control token such as `<|begin_of_thought|>`: always. A mark is quoted under two conditions. It follows a space or a
quotation mark on its line, and a small letter, a quotation mark or punctuation follows it. A mark in one line of prose
stays where it is in doubt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# what a server calls the end of a reply, in lower case; any other end is a whole reply
CUT = {
    "length", "max_length", "max_tokens", "max_new_tokens", "max_output_tokens", "model_length", "truncated",
    "incomplete",
}  # fmt: skip
BLOCKED = {
    "content_filter", "content_filtered", "guardrail_intervened", "refusal", "safety", "sensitive", "recitation",
    "blocklist", "prohibited_content", "spii",
}  # fmt: skip
BROKEN = {"error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource"}

NAMES = "think|thinking|antthinking|thinking_process|thought|thoughts|reason|reasoning|reflection|analysis|scratchpad"
MARKS = re.compile(
    r"(?P<opens><\|begin_of_thought\|>|<\|start_thinking\|>|<\|channel>(?:thought|analysis)|<unused94>(?:thought)?)"
    r"|(?P<closes><\|end_of_thought\|>|<\|end_thinking\|>|<channel\|>|<unused95>)"
    rf"|(?P<may_open><(?:\w+:)?(?:{NAMES})\s*>|\[think\]|◁think▷)"
    rf"|(?P<may_close></(?:\w+:)?(?:{NAMES})\s*>|\[/think\]|◁/think▷)",
    re.IGNORECASE,
)
QUOTATION = "\"'`“”‘’«»"
BEFORE_QUOTED = re.compile(rf"[ \t(\[{{{QUOTATION}]")
AFTER_QUOTED = re.compile(rf"[)\]}}.,;:!?{QUOTATION}]|[ \t]+(?:[a-zß-öø-ÿα-ωа-я]|[.,;:!?)])")
FOLLOWS = re.compile(r"[ \t]*\r?\n|[ \t]*(?:\{|```)")
SENTENCE_ENDS = re.compile(r"[.!?…。！？][\"'”’)]*[ \t]*$")
LONG_THOUGHT = 200  # characters
# Granite's headings
HEADINGS = re.compile(r"\s*Here is my thought process:.*?Here is my response:", re.DOTALL)
# gpt-oss: the answer stands in the channel `final`; without control tokens their words are left
MESSAGE = "<|message|>"
CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)(?:(?!<\|message\|>).)*<\|message\|>", re.DOTALL)
CHANNELS_WITHOUT_TOKENS = re.compile(r"analysis(?=[A-Z\s]).*?assistantfinal", re.DOTALL)
# what some models put their answer into
WRAPPED = re.compile(r"\s*<(answer|response|solution|final_answer|output)>((?:(?!</?\1>).)*)(?:</\1>\s*)?", re.DOTALL)
BOXES = re.compile(r"<\|(?:begin|end)_of_(?:box|solution)\|>|<\|(?:START|END)_RESPONSE\|>")

HEADER = r"(?:assistant|model)\s*(?:\n|<\|end_header_id\|>)"  # after a control token; the first also without one
CONTROL = (
    r"<\|[a-zA-Z][^<>|\s]{0,40}\|?>|<[a-zA-Z][^<>|\s]{0,40}\|>|<｜[^<>｜]{1,40}｜>"
    r"|<(?:start_of_turn|end_of_turn|end_of_utterance|endoftext)>"
)
# these an answer may hold for other reasons: struck-out text, a tag on a screen
AT_THE_ENDS = r"</?s>|\[/?INST\]|<</?SYS>>|<(?:bos|eos|pad)>"
LAST = re.compile(
    rf"(?<!\s)(?:(?:\s*(?:{AT_THE_ENDS}))+\s*$|\s*(?:</s>|<eos>)\s*(?:<s>|<bos>|\[INST\]).*$)", re.DOTALL
)
STRUCK_OUT = re.compile(r"\s*<s>[^<]*</s>\s*[^\s<\[]")
LINE_STARTS = re.compile(rf"(?:\s|[>*\u200b\ufeff]|{CONTROL}|{AT_THE_ENDS})*")
# surrogates are halves of a character; the others are not text in any language
NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
SHOWN = 120  # characters of what was said, in a reason
LONGEST = 2**19  # characters of an answer with its thinking, some 130,000 tokens
TRIED = 2_000_000  # characters that are read in vain for an object; a brace counts as 100 at least


@dataclass(frozen=True)
class Reply:
    """One reply of a model.

    Attributes:
        text: the answer; it may be cut.
        error: why it cannot be used; empty for a whole answer, and where there is no text.
        whole: not truncated at the limit of tokens.
    """

    text: str
    error: str = ""
    whole: bool = True
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def read_reply(said: str, whole: bool = True, limit: int | None = None, controls: Iterable[str] = ()) -> Reply:
    """What a model wrote, as a reply.

    Args:
        whole: it came to its end by itself.
        limit: the limit of tokens, for the reason.
        controls: the tokenizer's own control tokens, beside those that are known.
    """
    if len(said) > LONGEST:
        return Reply("", f"it sent {len(said):,} characters, and no answer has more than {LONGEST:,}")
    answer = without_thinking(said)
    text = plain(answer or "", controls)
    if answer is None and whole:
        return Reply("", "all of it is thinking that has no end: switch the model's thinking off")
    if not whole:
        where = f"max_new_tokens ({limit})" if limit else "max_new_tokens"
        what = (
            f"it was truncated at {where}: {text[:SHOWN]!r}; set that higher"
            if text
            else f"{where} went into thinking"
        )
        return Reply(text, what if text else f"all of {what}: set that higher, or switch thinking off", whole=False)
    return Reply(text)


def without_thinking(said: str) -> str | None:
    """What follows the thinking; None where it does not end."""
    # behind the last mark of a text there is none to look for
    channels = list(CHANNEL.finditer(said, 0, said.rfind(MESSAGE) + len(MESSAGE))) if MESSAGE in said else []
    if channels:
        final = [one for one in channels if one.group(1) == "final"]
        return said[final[-1].end() :] if final else None
    if re.match(r"analysis[A-Z]", said) and not CHANNELS_WITHOUT_TOKENS.match(said):
        return None
    said = CHANNELS_WITHOUT_TOKENS.sub("", said, count=1) if said.startswith("analysis") else said
    said = HEADINGS.sub("", said, count=1) if HEADINGS.match(said) else said
    marks = list(_outside(MARKS, said))
    closing = [mark for mark in marks if mark["closes"] or mark["may_close"]]
    kept, place, known = "", 0, False
    for mark in marks:
        if mark.start() < place or not _counts(said, mark, known):
            continue
        known = True
        if mark["closes"] or mark["may_close"]:
            # it closes what none opened: the prompt did, and all before it was thinking
            kept, place = "", mark.end()
            continue
        if not closing or closing[-1].start() < mark.end():
            return None
        after = (one for one in closing if one.start() >= mark.end() and not _quoted(said, one))
        kept += said[place : mark.start()]
        place = next(after, closing[-1]).end()
    kept += said[place:]
    wrapped = WRAPPED.fullmatch(kept)
    return wrapped.group(2) if wrapped else kept


def _counts(said: str, mark: re.Match[str], known: bool) -> bool:
    """Whether a mark outside of a block opens or closes one.

    Args:
        known: one before it did.
    """
    if mark["opens"] or mark["closes"]:
        return True
    quoted = _quoted(said, mark)
    if (known and not quoted) or FOLLOWS.match(said, mark.end()):
        return True
    before = said[: mark.start()]
    line = before[before.rfind("\n") + 1 :]
    if quoted or LINE_STARTS.fullmatch(line):
        return not quoted
    return mark["may_close"] is not None and bool(
        SENTENCE_ENDS.search(line) or "\n" in before or len(before) > LONG_THOUGHT
    )


def _quoted(said: str, mark: re.Match[str]) -> bool:
    """Whether the text speaks of a mark."""
    if not BEFORE_QUOTED.match(said[mark.start() - 1 : mark.start()]) or not AFTER_QUOTED.match(said, mark.end()):
        return False
    return LINE_STARTS.fullmatch(said[said.rfind("\n", 0, mark.start()) + 1 : mark.start()]) is None


def objects(said: str) -> Iterator[tuple[dict[str, Any], int, int]]:
    """The whole JSON objects in a text, each with its place."""
    decoder = json.JSONDecoder(strict=False)  # models write line breaks into strings
    start, tried = said.find("{"), 0
    while start >= 0 and tried < TRIED:  # a part of the text is read again at each brace that begins no object
        try:
            found, end = decoder.raw_decode(said, start)
        except RecursionError:  # nobody who means an object nests it so deep, and each try would take as long
            return
        except ValueError as error:
            end, tried = start + 1, tried + max(getattr(error, "pos", 0) - start, 100)
        else:
            yield found, start, end
        start = said.find("{", end)


def _outside(wanted: re.Pattern[str], said: str) -> Iterator[re.Match[str]]:
    """The matches that do not stand in a JSON object."""
    if wanted.search(said) is None:
        return
    places = [(start, end) for _, start, end in objects(said)]
    for one in wanted.finditer(said):
        if not any(start < one.start() < end for start, end in places):
            yield one


def plain(said: str, controls: Iterable[str] = ()) -> str:
    """A text up to the first control token, without what is not a character.

    What is a control token only in some templates is left out only at the start and at the end.
    """
    said = BOXES.sub("", said)
    ends = re.compile("|".join([CONTROL, *map(re.escape, sorted(controls, key=len, reverse=True))]))
    first = rf"{ends.pattern}|{AT_THE_ENDS}"
    while begins := re.match(rf"\s*(?:(?:{first})(?:\s*{HEADER})?|assistant\s*\n)", said):
        if STRUCK_OUT.match(said):
            break
        said = said[begins.end() :]
    end = next(_outside(ends, said), None)
    said = LAST.sub("", said[: end.start()] if end else said)
    return characters(said).strip()


def characters(said: str) -> str:
    """A text without halves of characters; two halves that belong together become one."""
    if NO_CHARACTER.search(said) is None:
        return said
    whole = said.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    return NO_CHARACTER.sub("", whole)


def finish_of(choice: Mapping[str, Any]) -> str:
    """What a server calls the end of a choice, in lower case; some name the class of their enumeration with it."""
    return str(choice.get("finish_reason") or "").lower().rpartition(".")[2]


def read_choice(choice: Mapping[str, Any], message: Mapping[str, Any], limit: int | None) -> Reply:
    """The reply in a choice of the chat protocol."""
    finish = finish_of(choice)
    said, refused = _parts(message.get("content"))
    refused = refused or str(message.get("refusal") or "")
    if refused or finish in BLOCKED:
        return Reply("", f"the model refused: {_line(refused) or f'its reply ends with {finish}'}")
    reply = read_reply(said, finish not in CUT, limit)
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
            if part.get("thought") is True:
                continue
            if isinstance(part.get("refusal"), str):
                refused.append(part["refusal"])
            elif kind in ("text", "output_text") and isinstance(text, str):
                said.append(text)
    return "".join(said), " ".join(refused)


def _line(said: str) -> str:
    return " ".join(characters(said).split())[:300]
