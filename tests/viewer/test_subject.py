"""What is looked at, and what is said where there is nothing to look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.world import GOLDEN

from longvpo.errors import LongVPOError
from longvpo.viewer.subject import find_subject


def test_a_folder_is_a_dataset_or_results(tmp_path: Path) -> None:
    found = find_subject(str(GOLDEN / "dataset"))
    assert (found.kind, found.name, found.revision) == ("dataset", "longvpo-tiny", None)
    (tmp_path / "stage1").mkdir()
    assert find_subject(str(tmp_path)).name == tmp_path.name, "made by hand, without facts"
    assert find_subject(str(GOLDEN / "adapter")).kind == "results"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("/no/where", "neither a folder nor the id of a repository"),
        ("nowhere", "neither a folder nor the id of a repository"),
        ("some/where", "cannot read some/where"),  # the Hub is not reached
        ("some/where@v1", "cannot read some/where@v1"),
        (".@v1", "a folder has no revisions"),
    ],
)
def test_nothing_of_that_name(given: str, said: str) -> None:
    with pytest.raises(LongVPOError, match=said):
        find_subject(given)


def test_a_folder_with_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(LongVPOError, match="holds no triplets and no results: give the folder"):
        find_subject(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(LongVPOError, match="an adapter without results: give the folder that `longvpo evaluate` made"):
        find_subject(str(tmp_path))
