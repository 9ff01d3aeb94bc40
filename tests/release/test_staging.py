"""From a folder to a release."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.hub.looks import ALICE, stranger
from support.hub.pushes import Pushes
from support.world import GOLDEN

from longvpo.errors import LongVPOError
from longvpo.io.files import read_json
from longvpo.release.staging import changelog, check_files


def test_a_build_that_dropped_nothing_and_a_file_of_somebody_else(pushes: Pushes, first: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(first, tmp_path / "data"))
    shutil.rmtree(folder / "dropped")  # as of a build that dropped nothing
    code, said = pushes.run("push", folder, "--repo-id", "empty", token=ALICE + "empty")
    assert code == 0, said
    assert "nothing was dropped" in pushes.read("datasets/alice/empty", "v0.1.0", "README.md")
    upload = """
from huggingface_hub import upload_file
arguments = {"repo_id": "alice/empty", "repo_type": "dataset"}
print(json.dumps(upload_file(path_or_fileobj=b"mine", path_in_repo="NOTES.txt", **arguments).oid))
"""
    stranger(pushes, tmp_path / "home", upload)
    code, said = pushes.run("push", first, "--repo-id", "empty", "--tag", "v0.2.0", token=ALICE + "empty")
    assert code == 0, said
    state = pushes.state()["datasets/alice/empty"]
    one, two = (state["trees"][state["tags"][tag]] for tag in ("v0.1.0", "v0.2.0"))
    assert set(two) - set(one) == {"NOTES.txt"} | {path for path in two if path.startswith("dropped/")}
    assert len([path for path in two if path.startswith("dropped/")]) == 1, "ours went, theirs stayed"


def test_two_evaluations_do_not_fit_into_one_release(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        shutil.copy(GOLDEN / "adapter" / "results.json", folder)
    facts = read_json(GOLDEN / "adapter" / "facts.json")
    check_files(GOLDEN / "adapter", facts, [folders[0], folders[0]])
    with pytest.raises(LongVPOError, match=r"one and .*two are both of `longvpo evaluate`, and a release has one"):
        check_files(GOLDEN / "adapter", facts, folders)


def test_the_changelog_keeps_what_is_there() -> None:
    facts = {"stage1": {"triplets": 1200}, "stage2": None, "recipe": "abc"}
    one = changelog("", "v0.1.0", facts)
    two = changelog(one, "v0.2.0", facts)
    assert one.startswith("# Changelog\n\n## v0.1.0 (2")
    assert "- 1,200 triplets of stage1; recipe `abc`\n" in one
    assert two.endswith(one.partition("\n\n")[2])
    assert [line[:9] for line in two.splitlines() if line.startswith("## ")] == ["## v0.2.0", "## v0.1.0"]
    assert changelog(two, "v0.1.0", facts) == two
