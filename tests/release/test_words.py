"""The part of a card that is its user's: read, kept, and told apart from all the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.commands import Capture, check_mistake, run
from support.world import GOLDEN

from longvpo.io.files import CARD_HASH, WORDS_HASH, text_hash
from longvpo.release.card_file import write_card
from longvpo.release.cards import card_of
from longvpo.release.words import BEGIN, END, INVITATION, outside, with_words, words_in

WORDS = "Ask **me**.\n\n\n<details>\n\n```\n{{ a }} | b\n\n\n# c\n```\n\n</details>"


@pytest.fixture(params=["dataset", "adapter"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A published result, as somebody has it in a folder."""
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / "mine"))


def write(folder: Path, words: str) -> str:
    """A person's words between the markers of the card."""
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace(INVITATION, words))
    return card


def test_words_are_kept_as_they_stand_when_the_card_is_rendered_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = write(folder, WORDS)
    assert run(monkeypatch, "card", folder) == 0, "edits between the markers stop nothing"
    after = (folder / "README.md").read_text()
    assert words_in(after) == WORDS
    assert outside(after) == outside(card)
    said = json.loads((folder / "provenance.json").read_text())
    assert (said[CARD_HASH], said[WORDS_HASH]) == (text_hash(outside(card)), text_hash(WORDS))
    assert run(monkeypatch, "card", folder, "language=de", "--overwrite-card") == 0
    assert words_in((folder / "README.md").read_text()) == WORDS


def test_an_edit_outside_the_markers_stops_it(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    card = write(folder, WORDS)
    without_end = card.replace(f"{END}\n", "")
    assert without_end != card
    for edited in (f"{card}\nMore.\n", without_end, card.replace(BEGIN, f"Before.\n{BEGIN}")):
        (folder / "README.md").write_text(edited)
        wanted = ["was written or edited by hand: --overwrite-card", BEGIN, "move yours there first"]
        check_mistake(run(monkeypatch, "card", folder), capsys, wanted)
        assert (folder / "README.md").read_text() == edited


@pytest.mark.parametrize(("mark", "end"), [("", "\r\n"), ("\ufeff", "\n"), ("\ufeff", "\r\n")])
def test_what_an_editor_of_windows_changes_is_no_edit(
    folder: Path, mark: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, WORDS)
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_bytes((mark + card.replace("\n", end)).encode())
    assert run(monkeypatch, "card", folder) == 0
    assert words_in((folder / "README.md").read_bytes().decode()) == WORDS
    assert json.loads((folder / "provenance.json").read_text())[WORDS_HASH] == text_hash(WORDS)


def test_notes_stand_between_the_markers_until_somebody_writes_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert run(monkeypatch, "card", folder, "notes=Ask **me**.") == 0
    assert words_in((folder / "README.md").read_text()) == "Ask **me**."
    assert run(monkeypatch, "card", folder, "notes=Ask us.") == 0
    card = (folder / "README.md").read_text()
    assert words_in(card) == "Ask us."
    (folder / "README.md").write_text(with_words(card, "By hand."))
    capsys.readouterr()
    check_mistake(run(monkeypatch, "card", folder, "notes=Ask them."), capsys, ["has words of yours", "delete them"])
    assert words_in((folder / "README.md").read_text()) == "By hand."
    (folder / "README.md").write_text(with_words(card, ""))
    assert run(monkeypatch, "card", folder, "notes=Ask them.") == 0
    assert words_in((folder / "README.md").read_text()) == "Ask them."
    assert run(monkeypatch, "card", folder, "notes=") == 0
    assert INVITATION in (folder / "README.md").read_text()


def test_notes_of_a_recipe_are_paragraphs_whatever_they_hold(folder: Path) -> None:
    recipe = folder / "recipe.yaml"
    said = recipe.read_text()
    assert "\nnotes: ''\n" in said
    recipe.write_text(said.replace("\nnotes: ''\n", f'\nnotes: "# no\\n{END}\\n<b>"\n'))
    (folder / "README.md").unlink()
    assert words_in(card_of(folder)) == f"\\# no\n\\{END}\n\\<b>"


@pytest.mark.parametrize("folder", ["dataset"], indirect=True)
def test_markers_in_a_prompt_are_not_the_markers(folder: Path) -> None:
    """Prompts stand in the card line by line, as they were asked."""
    facts = json.loads((folder / "facts.json").read_text())
    facts["prompts"]["question"] += f"\n{BEGIN}\nmine\n{END}"
    (folder / "facts.json").write_text(json.dumps(facts))
    card = write_card(folder).read_text()
    assert card.count(f"\n{BEGIN}\n") == 2
    assert words_in(card) == ""
    assert words_in(with_words(card, "Yours.")) == "Yours."


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ("", ""),
        (INVITATION, ""),
        (f"  {INVITATION}\n\n", ""),
        (f"{INVITATION}\n<!-- later -->\n", f"{INVITATION}\n<!-- later -->"),
        ("<!-- Ask the museum\nbefore you use rows 1-40. -->", "<!-- Ask the museum\nbefore you use rows 1-40. -->"),
        ("\n \n    code\n    more\n\n", "    code\n    more"),
        (f"```\n{BEGIN}\nx\n{END}\n```\nAfter.", f"```\n{BEGIN}\nx\n{END}\n```\nAfter."),
        (f"~~~~ text\n```\n~~~\n{END}\n~~~~\nAfter.", f"~~~~ text\n```\n~~~\n{END}\n~~~~\nAfter."),
        ("``` a span of code ```", "``` a span of code ```"),
        (f"{INVITATION}\n\nMine.", f"{INVITATION}\n\nMine."),
        ("\n\nMine.\n\n", "Mine."),
    ],
)
def test_only_the_invitation_is_no_words(held: str, words: str) -> None:
    rest = f"```\nRest.\n{END}\n```\n"  # prompts stand there
    card = f"# Name\n\n{BEGIN}\n{held}\n{END}\n\n{rest}"
    assert words_in(card) == words
    assert outside(card) == f"# Name\n\n{BEGIN}\n{END}\n\n{rest}"
    by_windows = "\ufeff" + card.replace("\n", "\r\n")
    assert (words_in(by_windows), outside(by_windows)) == (words, outside(card))
    assert words_in(with_words(card, words)) == words
    assert words_in("# A card of before\n") == ""
    assert words_in(f"{BEGIN}\n```\nno end\n{END}\n\n```\nRest.\n```\n") == "```\nno end"
    assert outside("# A card of before\n") == "# A card of before\n"
