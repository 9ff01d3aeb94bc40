"""The card of a result as a file beside it: written, and known again, as people edit such files.

longvpo card FOLDER
"""

from __future__ import annotations

from pathlib import Path

from longvpo.errors import LongVPOError
from longvpo.io.files import CARD, CARD_HASH, PROVENANCE, WORDS_HASH, as_json, read_json, text_hash, write_text
from longvpo.release.cards import card_of
from longvpo.release.words import BEGIN, END, outside, words_in

MOVE = (  # what a person can do who has edited longvpo's part of a card
    f"--overwrite-card puts a new card in its place. It keeps the text between the lines `{BEGIN}` and `{END}`: move "
    "yours there first"
)


def write_card(folder: Path, words: str | None = None, words_hash: str | None = None) -> Path:
    """Render the card of a finished dataset or adapter, in its folder; its hashes go into provenance.json.

    Args:
        words: as in card_of.
        words_hash: hash of the last words that a folder had, where a person wrote these on the Hub. None: their own.

    Raises:
        LongVPOError: the folder holds neither.
    """
    card = card_of(folder, words)
    write_text(folder / CARD, card)
    hashes = {CARD_HASH: text_hash(outside(card)), WORDS_HASH: words_hash or text_hash(words_in(card))}
    write_text(folder / PROVENANCE, as_json(read_json(folder / PROVENANCE) | hashes))
    return folder / CARD


def card_hash(card: bytes) -> str:
    """The hash of a card without what stands between its markers, whatever its bytes are."""
    return text_hash(outside(card.decode(errors="surrogateescape")))


def check_own_card(folder: Path) -> None:
    """Raises LongVPOError when the folder's card is not as longvpo wrote it: what somebody wrote is not thrown away.
    What stands between the markers is somebody's in any case, and is kept.

    A folder of before there was a hash of the card is known by this version's card of it.
    """
    card = folder / CARD
    if not card.exists():
        return
    wrote = read_json(folder / PROVENANCE).get(CARD_HASH) or text_hash(outside(card_of(folder)))
    if card_hash(card.read_bytes()) != wrote:
        raise LongVPOError(f"{card} was written or edited by hand: {MOVE}")
