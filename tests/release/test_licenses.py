"""Licences are ids that the Hub knows; a file LICENSE repeats what was stated, where one id does not say it all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.hub.looks import ALICE
from support.hub.pushes import Pushes
from support.world import GOLDEN

from longvpo.errors import LongVPOError
from longvpo.io.files import as_json, read_yaml, write_text
from longvpo.io.records import read_record
from longvpo.release.cards import card_of
from longvpo.release.licenses import HEADING, check_license, license_text
from longvpo.release.staging import staged
from longvpo.release.target import Target


@pytest.mark.parametrize(("given", "meant"), [("Apache-2.0", "apache-2.0"), ("cc-by-4", "cc-by-4.0"), ("gpl3", "gpl")])
def test_a_licence_that_the_hub_does_not_know(given: str, meant: str) -> None:
    with pytest.raises(LongVPOError, match=rf"license: {given} is not a licence id of the Hub \(did you mean {meant}"):
        check_license(given, "license", "license=")
    assert check_license(meant, "license", "license=") == meant


def source(name: str, license_id: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "license": license_id, "dataset": "", "redistribution": False, "about": "", **more}


def test_a_file_only_where_one_id_does_not_say_it_all() -> None:
    mit = source("a", "mit")
    assert license_text({"name": "n", "license": "mit", "sources": [mit, mit]}) is None
    assert license_text({"name": "n", "license": "mit", "sources": [mit, source("b", "cc0-1.0")]}) is not None
    assert license_text({"name": "n", "license": "cc0-1.0", "sources": [mit]}) is not None
    assert license_text({"name": "n", "license": "other", "sources": [source("a", "other")]}) is not None


def test_it_says_what_was_stated_of_each_source_and_no_more() -> None:
    two = source("b", "other", dataset="me/b@1", redistribution=True, about="Mine.\n\nAsk \x1b[31mme.")
    text = license_text({"name": "n", "license": "cc-by-4.0", "sources": [source("a", "mit"), two]})
    assert text is not None
    assert text.splitlines()[0] == "Licences as they were stated for the dataset n."
    assert text.endswith(
        "The rows of the dataset: cc-by-4.0\n\n"
        "Source a: mit\nOthers may not publish its videos, as the publisher stated.\n\n"
        "Source b, me/b@1: other\nOthers may publish its videos, as the publisher stated.\n"
        "Mine. Ask \\x1b[31mme.\n"
    )
    assert "grants no rights" in text


def front(card: str) -> dict[str, Any]:
    return dict(yaml.safe_load(card.split("---\n", 2)[1]))


@pytest.mark.parametrize("own", ["", "Ask me.\n", f"{HEADING} of another licence.\n"])
def test_a_release_has_the_file(own: str, pushes: Pushes, tmp_path: Path) -> None:
    """A LICENSE of the user's own is published as it stands; one that a release wrote is written again."""
    folder = Path(shutil.copytree(GOLDEN / "dataset", tmp_path / "mine"))
    facts = json.loads((folder / "facts.json").read_text())
    facts["license"] = facts["sources"][0]["license"] = "other"
    (folder / "facts.json").write_text(json.dumps(facts))
    if own:
        (folder / "LICENSE").write_text(own)
    else:
        assert "license_link" not in front(card_of(folder)), "there is no such file here"
    name = f"licensed{len(own)}"
    words = ("push", folder, "--repo-id", name, "--overwrite-card")
    code, said = pushes.run(*words, "--tag", "v1", "--collection", "My | clips", token=ALICE + name)
    assert code == 0, said
    card, text = (pushes.read(f"datasets/alice/{name}", "v1", file) for file in ("README.md", "LICENSE"))
    theirs = own.startswith("Ask")
    assert text == (own if theirs else license_text(facts))
    assert {key: front(card)[key] for key in ("license", "license_name", "license_link")} == {
        "license": "other",
        "license_name": "see-license",
        "license_link": "LICENSE",
    }
    assert ("[LICENSE](LICENSE) names the licence of the dataset and of each source." in card) != theirs
    assert ("The publisher wrote [LICENSE](LICENSE)." in card) == theirs
    assert "in the collection [My \\| clips](https://huggingface.co/alice/collections)" in card
    # the same release once more, into another collection: nothing changes, and it is no other content
    code, said = pushes.run(*words, "--tag", "v1", "--collection", "Another", token=ALICE + name)
    assert code == 0, said
    assert pushes.read(f"datasets/alice/{name}", "main", "README.md") == card
    # a licence that one id says: the file that a release wrote leaves with the next one
    facts["license"] = facts["sources"][0]["license"] = "apache-2.0"
    (folder / "facts.json").write_text(json.dumps(facts))
    code, said = pushes.run(*words, "--tag", "v2", token=ALICE + name)
    assert code == 0, said
    repo = pushes.state()[f"datasets/alice/{name}"]
    assert ("LICENSE" in repo["trees"][repo["tags"]["v2"]]) == own.startswith("Ask")


def test_a_file_of_the_users_own_stays_byte_by_byte(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "dataset", tmp_path / "mine"))
    own = "Demandez-moi d'où.\r\n".encode("latin-1")
    (folder / "LICENSE").write_bytes(own)
    with staged(folder, Target("dataset", "alice/mine", "v1", overwrite_card=True)) as release:
        assert release.files["LICENSE"].path.read_bytes() == own


def test_where_the_license_of_an_adapter_is_read(tmp_path: Path) -> None:
    """At its base, as long as it is the base's; in LICENSE, where the publisher wrote one."""
    folder = Path(shutil.copytree(GOLDEN / "adapter", tmp_path / "mine"))
    facts, recipe = read_record(folder / "facts.json"), read_yaml(folder / "recipe.yaml")
    recipe["base"] |= {"model": "Qwen/Qwen2.5-VL-3B-Instruct", "license": "other"}
    write_text(folder / "facts.json", as_json(facts | {"license": "other"}))
    for own, file, link in (
        (None, "", "https://huggingface.co/Qwen/Qwen2.5-VL-3B-Instruct"),
        ("other", "", None),
        (None, "Mine.", "LICENSE"),
    ):
        write_text(folder / "recipe.yaml", yaml.safe_dump(recipe | {"license": own}))
        if file:
            write_text(folder / "LICENSE", file)
        card = card_of(folder)
        assert front(card).get("license_link") == link
        assert ("The publisher wrote [LICENSE](LICENSE)." in card) == bool(file)


def test_an_adapter_is_published_with_the_file_too(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "mine"))
    write_text(folder / "LICENSE", "Mine.")
    with staged(folder, Target("model", "alice/mine", "v1")) as release:
        assert release.files["LICENSE"].path.read_text(encoding="utf-8") == "Mine."
