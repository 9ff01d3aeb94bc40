"""Adapters by the command line: folders, and repositories of the Hub at a revision."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.world import TINY

from longvpo.errors import LongVPOError
from longvpo.evaluation.adapters import by_name, find_adapters
from longvpo.io.files import file_hash
from longvpo.io.home import split

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def fetched(trained: Path) -> str:
    """A repository that was fetched before at v1.0, as the Hub's client keeps it: the tests are offline."""
    kept = Path(os.environ["HF_HOME"]) / "hub" / "models--someone--measured"
    shutil.copytree(trained, kept / "snapshots" / COMMIT)
    (kept / "refs").mkdir()
    (kept / "refs" / "v1.0").write_text(COMMIT)
    return "someone/measured"


def test_an_adapter_of_the_hub_is_named_with_its_commit(fetched: str, trained: Path) -> None:
    given = by_name([f"{fetched}@v1.0", str(trained)])
    assert list(given) == [f"{fetched}@v1.0", trained.name]
    hub, folder = find_adapters(TINY, given).values()
    assert hub.origin == {"repo_id": fetched, "revision": "v1.0", "commit": COMMIT}
    assert folder.origin == {}, "a path is nobody's business"
    assert hub.weights == folder.weights == file_hash(trained / "adapter_model.safetensors")
    with pytest.raises(LongVPOError, match=f"no adapter {fetched}@v2.0 on the Hub that can be reached"):
        find_adapters(TINY, by_name([f"{fetched}@v2.0"]))


def test_names_and_revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one/stage1", "two/stage1", "two/at@home"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "two")
    assert by_name(["stage1", "at@home", ".", "me/stage1", "me/stage1@v2"]) == {
        "stage1": "stage1",
        "at@home": "at@home",
        "two": ".",
        "me/stage1": "me/stage1",
        "me/stage1@v2": "me/stage1@v2",
    }
    assert split("at@home") == ("at@home", "main"), "a folder of that name"
    assert split("me/stage1") == ("me/stage1", "main")
    assert split("me/stage1@refs/pr/1") == ("me/stage1", "refs/pr/1")
    with pytest.raises(LongVPOError, match="two adapters go by the name of stage1: results"):
        by_name([str(tmp_path / "one/stage1"), "stage1"])
    with pytest.raises(LongVPOError, match="an adapter is an empty text: give a folder"):
        by_name(["stage1", ""])
    with pytest.raises(LongVPOError, match="a folder has no revisions; leave @v1 out"):
        split("stage1@v1")
    with pytest.raises(LongVPOError, match="no revision follows the @"):
        split("me/stage1@")
    with pytest.raises(LongVPOError, match="cannot go by the name of base"):
        find_adapters(TINY, {"base": "stage1"})


def test_a_file_that_lies_here_is_not_asked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.safetensors").write_bytes(b"")
    with pytest.raises(LongVPOError, match="is a file, and an adapter is a folder"):
        find_adapters(TINY, by_name(["mine.safetensors"]))
