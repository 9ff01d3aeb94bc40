"""`longvpo card FOLDER key=value`: what people state is said otherwise, and nothing is built or trained again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from support.commands import Capture, check_mistake, run
from support.world import GOLDEN

from longvpo.io.files import file_hash
from longvpo.release.parquet import column_types, shards
from longvpo.release.staging import staged
from longvpo.release.target import Target


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A published result, as somebody has it in a folder."""
    return Path(shutil.copytree(GOLDEN / getattr(request, "param", "dataset"), tmp_path / "mine"))


def rows(folder: Path, config: str) -> list[dict[str, Any]]:
    return [row for path in shards(folder / config) for row in parquet.read_table(path).to_pylist()]


def test_licences_texts_and_names_of_a_dataset(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    before = {config: rows(folder, config) for config in ("clips", "scenes", "stage1", "stage2", "dropped")}
    types = {config: column_types(shards(folder / config)) for config in before}
    recipe = file_hash(folder / "recipe.yaml")
    changes = ["license=other", "sources.drawn.license=cc-by-nc-4.0", "sources.drawn.about=Filmed: by me"]
    changes += ["sources.drawn.redistribution=false", "name=my-own", "language=[de, en]", "notes=Ask **me**."]
    assert run(monkeypatch, "card", folder, *changes) == 0
    card = (folder / "README.md").read_text()
    for text in (
        "license: other\n",
        "pretty_name: my-own\n",
        "language:\n- de\n- en\n",
        "# my-own\n",
        "Ask **me**.\n",
        "**drawn**: Filmed: by me\n",
        "| cc-by-nc-4.0 | no |",
        "Said otherwise since it was made: `license` (apache-2.0 before), `sources.drawn.license` (apache-2.0 before)",
    ):
        assert text in card
    said = json.loads((folder / "provenance.json").read_text())
    assert said["corrected"]["name"] == {"from": "longvpo-tiny", "to": "my-own"}
    assert not {"release", "files"} & set(said), "it is not that release any more"
    assert file_hash(folder / "recipe.yaml") == recipe, "it says what was run"
    # the rows say it too, and nothing else in them has changed
    assert {row["license"] for row in rows(folder, "clips")} == {"cc-by-nc-4.0"}
    assert {row["license"] for row in rows(folder, "scenes")} == {"apache-2.0"}
    for config, were in before.items():
        assert [row | {"license": ""} for row in rows(folder, config)] == [row | {"license": ""} for row in were]
        assert column_types(shards(folder / config)) == types[config]
    # again: from what it was at first; and what is published says it
    assert run(monkeypatch, "card", folder, "name=mine", "license=cc-by-4.0") == 0
    said = json.loads((folder / "provenance.json").read_text())["corrected"]
    assert (said["name"], said["license"]["from"]) == ({"from": "longvpo-tiny", "to": "mine"}, "apache-2.0")
    with staged(folder, Target("dataset", "alice/mine", "v0.2.0")) as release:
        assert "license: cc-by-4.0\n" in release.files["README.md"].path.read_text()
        assert "contact_sheet.png" not in release.files
    capsys.readouterr()


@pytest.mark.parametrize("folder", ["adapter"], indirect=True)
def test_licences_and_notes_of_an_adapter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = json.loads((folder / "facts.json").read_text())
    (folder / "facts.json").write_text(json.dumps(facts | {"license": "unknown"}))
    for wrong in ("base.license=[mit]", "license={a: b}"):
        assert run(monkeypatch, "card", folder, wrong) == 1
    changes = ["base.license=mit", "notes=For tests.", "language=de", "--overwrite-card"]
    assert run(monkeypatch, "card", folder, *changes) == 0
    card = (folder / "README.md").read_text()
    for text in ("license: mit\n", "language:\n- de\n", "For tests.\n", "base mit, this mit.", "`base.license` ("):
        assert text in card
    assert run(monkeypatch, "card", folder, "license=apache-2.0") == 0
    assert "base mit, this apache-2.0." in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("licence=mit", ["a card states no licence (did you mean license?)", "sources.stories.about", "measured"]),
        ("stage1.triplets=5", ["a card states no stage1.triplets"]),
        ("sources.other.license=mit", ["(did you mean sources.stories.license?)"]),
        ("license=mitt", ["mitt is not a licence id of the Hub (did you mean mit?)"]),
        ("license=", ["license is not stated", "as in license=cc-by-4.0"]),
        ("sources.drawn.redistribution=perhaps", ["must be true or false (got 'perhaps')"]),
        ("language=[1]", ["language must be codes such as [en, de]"]),
        ("name=", ["name must be a text of one line (got '')"]),
        *((f"name={said}", ["name must be a text of one line"]) for said in ("null", "[a, b]", '"a\\nb"', "{a: b}")),
        *((f"language={said}", ["language must be codes"]) for said in ("[]", "", '""', '"a\\nb"', "[en, no such]")),
        *((f"license={said}", ["license must be one id"]) for said in ("[mit]", "{a: b}", "[mit, x]")),
        ("sources.drawn.license=[mit]", ["sources.drawn.license must be one id, such as cc-by-4.0"]),
        ("license", ["write it as KEY=VALUE"]),
    ],
)
def test_what_a_card_does_not_state_is_a_mistake_that_changes_nothing(
    change: str, says: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    before = {path: file_hash(path) for path in folder.rglob("*") if path.is_file()}
    check_mistake(run(monkeypatch, "card", folder, "notes=x", change), capsys, says)
    assert {path: file_hash(path) for path in folder.rglob("*") if path.is_file()} == before


def test_push_says_what_is_missing_and_the_command_that_states_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    facts = json.loads((folder / "facts.json").read_text())
    facts["license"], facts["sources"][0]["license"] = None, "unknown"
    (folder / "facts.json").write_text(json.dumps(facts))
    command = f"longvpo card {folder} sources.drawn.license=cc-by-4.0"
    check_mistake(run(monkeypatch, "push", folder), capsys, ["the licence of source drawn is not stated", command])
    assert run(monkeypatch, *command.split()[1:]) == 0
    capsys.readouterr()
    more = ["the sources have several licences (apache-2.0, cc-by-4.0)", f"longvpo card {folder} license=apache-2.0"]
    check_mistake(run(monkeypatch, "push", folder), capsys, more)
