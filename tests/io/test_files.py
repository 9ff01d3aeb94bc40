"""What is written is UTF-8 whatever the locale is, and takes the place of a file only when it is whole."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import longvpo
from longvpo.cli.main import main
from longvpo.errors import LongVPOError
from longvpo.io.files import read_json, read_text, read_yaml, write_text
from longvpo.release import card_file

PACKAGE = Path(longvpo.__file__).parent
NO_TEXT = {"Image", "av", "tarfile", "hub", "archive", "material", "os"}  # whose open() is of other things than texts


def by_the_locale(call: ast.Call) -> bool:
    """Whether a call reads or writes text in the encoding of the locale, or over a file in its place."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    method = isinstance(call.func, ast.Attribute)
    if name == "write_text":
        return method
    named = any(keyword.arg == "encoding" for keyword in call.keywords)
    if name == "read_text":
        return method and not named
    if name != "open" or (isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") in NO_TEXT):
        return False
    modes = [one.value for one in call.args[0 if method else 1 :] if isinstance(one, ast.Constant)]
    return not named and "b" not in "".join(mode for mode in modes if isinstance(mode, str))


def test_no_module_leaves_an_encoding_to_the_locale() -> None:
    calls = [
        (path, node)
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    assert [f"{path.name}:{call.lineno}" for path, call in calls if by_the_locale(call)] == []
    wrong = ["open(p)", "p.open()", "p.open('a')", "p.read_text()", "p.write_text('')", "open(p, 'w')"]
    assert all(by_the_locale(ast.parse(text).body[0].value) for text in wrong)  # type: ignore[attr-defined]


def test_texts_do_not_depend_on_the_locale(tmp_path: Path) -> None:
    """A new interpreter: Python reads the locale when it starts."""
    program = (
        "import locale, sys; from pathlib import Path\n"
        "from longvpo.io.files import read_text, write_text\n"
        "assert locale.getpreferredencoding(False) != 'UTF-8'\n"
        "file = Path(sys.argv[1]) / 'card.md'\n"
        "write_text(file, read_text(file) + '\\u00e9t\\u00e9 \\u65e5\\u672c')\n"
    )
    write_text(tmp_path / "card.md", "\u00fc: ")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", program, tmp_path], env=os.environ | plain, check=True, timeout=60)
    assert (tmp_path / "card.md").read_bytes() == "\u00fc: \u00e9t\u00e9 \u65e5\u672c".encode()


def test_a_terminal_that_shows_ascii_ends_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, said = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr(sys, "argv", ["longvpo", "recipes", "\u65e5\u672c"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    said.seek(0)
    assert said.read().startswith("error: no recipe \\u65e5\\u672c")


def test_a_file_is_replaced_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "README.md", "what I wrote")
    for name in ("facts.json", "recipe.yaml", "provenance.json"):
        write_text(tmp_path / name, "{}")

    def fails(*given: object) -> str:
        raise LongVPOError("no card")

    monkeypatch.setattr(card_file, "card_of", fails)
    with pytest.raises(LongVPOError, match="no card"):
        card_file.write_card(tmp_path)
    monkeypatch.setattr(Path, "replace", lambda path, target: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space"):
        write_text(tmp_path / "README.md", "a card")
    assert (tmp_path / "README.md").read_text() == "what I wrote"
    assert len(list(tmp_path.iterdir())) == 4, "nothing half-written is left"


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "theirs", "theirs")
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    write_text(tmp_path / "link", "ours")
    assert [(tmp_path / name).read_text() for name in ("theirs", "link")] == ["theirs", "ours"]


def test_names_as_long_as_a_file_system_takes(tmp_path: Path) -> None:
    for name in ("a" * 255, "\u65e5" * 85):
        write_text(tmp_path / name, "x")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"\x00", b"[" * 100_000, b"version https://git-lfs"])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    file.write_bytes(content)
    with pytest.raises(LongVPOError, match=r"facts\.json is damaged") as said:
        read_json(file)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("content", [b"a: [", b"\xff", b"\x00", b"a: *b", b"[" * 1500])
def test_a_damaged_recipe_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content)
    with pytest.raises(LongVPOError, match=r"recipe\.yaml is damaged"):
        read_yaml(file)


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_bytes('\ufeff{"a": "\u00e9"}'.encode())
    assert read_json(tmp_path / "facts.json") == {"a": "\u00e9"}
    assert not read_text(tmp_path / "facts.json").startswith("\ufeff")
