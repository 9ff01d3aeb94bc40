"""The part of a card that belongs to its user: between two markers, near the top.

The rule: longvpo reads what stands there, and puts it into the next card as it stands. Where nobody wrote anything, it
puts there what `notes` says, and else an invitation. Only that invitation counts as nothing: a comment is text, too.

The first line that begins the part counts: it stands above all text that others wrote. The first line after it that
ends the part counts, except in a block of code.

Line ends of Windows and a mark of the byte order change nothing: editors write them without a word.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError
from longvpo.io.files import CARD, read_text, write_text
from longvpo.release.markdown import paragraphs

BEGIN, END = "<!-- your words begin -->", "<!-- your words end -->"
INVITATION = "<!-- Write here, in Markdown, what people should know. Every later release keeps it. -->"
BEGINS = re.compile(rf"^{re.escape(BEGIN)}[ \t]*\n", re.MULTILINE)
FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
BLANK = re.compile(r"\A(?:[^\S\n]*\n)+|\s+\Z")  # lines before a text, and what stands after it


def words_in(card: str) -> str:
    """What a person wrote, or `notes` said, between the markers of a card; empty: nothing."""
    words = BLANK.sub("", _parts(card)[1])
    return "" if words.strip() == INVITATION else words


def outside(card: str) -> str:
    """A card without what stands between its markers: all of it that is longvpo's."""
    before, _, after = _parts(card)
    return before + after


def with_words(card: str, words: str) -> str:
    """A card with these words between its markers, as they stand; empty: the invitation."""
    before, _, after = _parts(card)
    return f"{before}\n{words}\n\n{after}" if words else f"{before}{INVITATION}\n{after}"


def _parts(card: str) -> tuple[str, str, str]:
    """A card up to its first marker, what stands between the markers, and the card from the second marker on.

    Without both markers there is no such part: all of the card is the first text.
    """
    card = card.removeprefix("\ufeff").replace("\r\n", "\n")
    found = BEGINS.search(card)
    if not found:
        return card, "", ""
    begin = place = found.end()
    end, fence = -1, ""  # the fence of a block of code that is open
    for line in card[begin:].split("\n"):
        said = line.rstrip()
        marks = FENCE.match(said)
        if said == END and (end < 0 or not fence):
            end = place  # in a block of code only where no other follows: the block may have no end
            if not fence:
                break
        elif fence:
            fence = "" if marks and marks[1].startswith(fence) and said.strip() == marks[1] else fence
        elif marks:
            fence = marks[1]
        place += len(line) + 1
    if end < 0:
        return card, "", ""
    rest = card[end:].partition("\n")
    return f"{card[: found.start()]}{BEGIN}\n", card[begin:end], f"{END}{rest[1]}{rest[2]}"


def words_of(folder: Path, facts: dict[str, Any], recipe: dict[str, Any]) -> str:
    """The words for the card of a result: those in its card, or else `notes`, as a page of Markdown can hold them."""
    card = folder / CARD
    return (words_in(read_text(card)) if card.is_file() else "") or paragraphs(notes_of(facts, recipe))


def notes_of(facts: dict[str, Any], recipe: dict[str, Any]) -> str:
    """What is stated as `notes`, for a finished result or in its recipe."""
    return str(facts.get("stated", {}).get("notes", recipe.get("notes", "")))


def make_way(folder: Path, facts: dict[str, Any], recipe: dict[str, Any]) -> None:
    """Take `notes` out of a card, for others to be put there.

    Raises:
        LongVPOError: a person has written something else between the markers.
    """
    card = folder / CARD
    if not card.is_file():
        return
    text = read_text(card)
    if words_in(text) not in ("", str(paragraphs(notes_of(facts, recipe)))):
        raise LongVPOError(
            f"{card} has words of yours between its markers, and notes would take their place: edit them there, or "
            "delete them first"
        )
    write_text(card, with_words(text, ""))
