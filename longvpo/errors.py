"""The exception for mistakes that a user can mend: its text says what is wrong and what to do. It shows no key or
token."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

QUIET = "LONGVPO_QUIET"  # the environment variable that `longvpo --quiet` sets

# characters around a key that was copied or read from a file; they are never a part of it
AROUND = " \t\r\n\f\v\u00a0\u200b\u200c\u200d\u2060\ufeff"


# control characters but tabs and line breaks, halves of characters, marks of direction and of lines
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class LongVPOError(Exception):
    """A mistake in the user's input. The command line prints it as one `error:` line and exits with 1.

    Attributes:
        then: words of the command that mends it, which is printed below it.
    """

    then: tuple[str, ...] = ()


class UsageError(LongVPOError):
    """The command line lacks something: the exit code is 2, as for every mistake of usage."""


class NothingLeftError(LongVPOError):
    """A build has no triplet left. `loosen` is an override that switches off the filter that dropped most; empty: none
    does."""

    def __init__(self, text: str, loosen: str = "") -> None:
        super().__init__(text)
        self.loosen = loosen


class VideoError(LongVPOError):
    """A video that cannot be read. In a dataset its clip is dropped, and this text is the reason, always on one
    line."""

    def __init__(self, text: str) -> None:
        super().__init__(visible(re.sub(r"[\r\n]+", " ", text)))


def first_line(error: BaseException) -> str:
    """What a library's error says, in one line: some append a stack trace, some begin with a heading."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    said = lines[0]
    for line in lines[1:]:
        if not said.endswith(":"):  # a heading, such as of torch's load_state_dict: the first line below it says it
            break
        said += f" {line}"
    return said


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What an error adds where a known word is like the one that was given; else nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def hide(text: str, secret: str | None) -> str:
    """The text without a key or a token: some servers repeat it in their errors, and clients show it escaped."""
    if not secret:
        return text
    # each part of a secret that has several lines, or characters that are escaped, is a secret too
    parts = {secret, *re.findall(r"[!-~]{4,}", secret)}
    forms = {form for part in parts for form in (part, repr(part)[1:-1], json.dumps(part)[1:-1])}
    forms |= {form for part in parts for form in (quote(part), quote(part, safe=""), quote_plus(part))}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def sendable(secret: str, where: str) -> str:
    """A key or a token as a request can carry it, without what stands around it.

    Args:
        where: names the place it comes from, for the error.

    Raises:
        LongVPOError: it holds a character that none can have; the error does not show it.
    """
    kept = secret.strip(AROUND)
    wrong = re.search(r"[^ -~]", kept)
    if not kept or wrong:
        lines = wrong is not None and wrong.group() in "\r\n"
        what = "is empty" if not wrong else "has several lines" if lines else "holds a character that no key can have"
        raise LongVPOError(f"{where} {what}: set it to the key and nothing else")
    return kept


def visible(text: str) -> str:
    """A text that a terminal can show safely. Characters that move the cursor, change colours or the title, or reverse
    the order of letters are written out."""
    return STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: str) -> None:
    """A line for people; where QUIET is set, only of an error or a warning."""
    if not os.environ.get(QUIET) or text.startswith(("error:", "warning:")):
        print(visible(text), file=sys.stderr)
