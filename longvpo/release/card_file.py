"""The card of a result as a file beside it: written, and known again, as people edit such files.

longvpo card FOLDER
"""

from __future__ import annotations

from pathlib import Path

from longvpo.errors import LongVPOError
from longvpo.io.files import CARD, CARD_HASH, PROVENANCE, as_json, file_hash, read_json, text_hash, write_text
from longvpo.release.cards import card_of


def write_card(folder: Path) -> Path:
    """Render the card of a finished dataset or adapter, in its folder; its hash goes into provenance.json.

    Raises:
        LongVPOError: the folder holds neither.
    """
    card = card_of(folder)
    write_text(folder / CARD, card)
    write_text(folder / PROVENANCE, as_json(read_json(folder / PROVENANCE) | {CARD_HASH: text_hash(card)}))
    return folder / CARD


def check_own_card(folder: Path) -> None:
    """Raises LongVPOError when the folder's card is not as longvpo wrote it: what somebody wrote is not thrown away.

    A folder of before there was a hash of the card is known by this version's card of it.
    """
    card = folder / CARD
    if not card.exists():
        return
    wrote = read_json(folder / PROVENANCE).get(CARD_HASH) or text_hash(card_of(folder))
    if file_hash(card) != wrote:
        raise LongVPOError(f"{card} was written or edited by hand: --overwrite-card puts a new card in its place")
