"""The part of a card that belongs to its user: between two markers, near the top.

The rule: longvpo reads what stands there, and puts it into the next card as it stands. Where nobody wrote anything, it
puts there what `notes` says, and else an invitation. Comments do not count as words.

The first pair of markers counts, each on a line of its own. It stands above all text that others wrote.
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
PART = re.compile(rf"^{re.escape(BEGIN)}[ \t\r]*\n(.*?)^{re.escape(END)}[ \t\r]*$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def words_in(card: str) -> str:
    """What a person wrote, or `notes` said, between the markers of a card; empty: nothing."""
    found = PART.search(card)
    return found[1].strip() if found and COMMENT.sub("", found[1]).strip() else ""


def outside(card: str) -> str:
    """A card without what stands between its markers: all of it that is longvpo's."""
    return PART.sub(f"{BEGIN}\n{END}", card, count=1)


def with_words(card: str, words: str) -> str:
    """A card with these words between its markers, as they stand; empty: the invitation."""
    held = f"\n{words}\n" if words else INVITATION
    return PART.sub(lambda _: f"{BEGIN}\n{held}\n{END}", card, count=1)


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
