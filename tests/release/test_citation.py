"""BibTeX of a release: the paper's authors, and an entry for the release itself."""

from __future__ import annotations

import re

from longvpo.release.citation import PAPER, citation

RELEASE = {"repo_id": "alice/my-clips", "kind": "dataset", "tag": "v1.0", "year": 2026}


def test_what_was_not_published_has_the_papers_entry_only() -> None:
    assert citation(None) == PAPER
    assert len(re.findall(r"\w+, \w+", re.search(r"author += \{(.*?)\}", PAPER, re.DOTALL)[1])) == 9  # type: ignore[index]


def test_a_release_has_its_own() -> None:
    paper, own = citation(RELEASE).split("\n\n")
    assert paper == PAPER
    assert own.splitlines() == [
        "@misc{alice-my-clips,",
        "  author    = {alice},",
        "  title     = {my-clips},",
        "  year      = {2026},",
        "  publisher = {Hugging Face},",
        "  version   = {v1.0},",
        "  url       = {https://huggingface.co/datasets/alice/my-clips}",
        "}",
    ]
    model = citation(RELEASE | {"kind": "model"})
    assert "{https://huggingface.co/alice/my-clips}" in model
    old = {key: value for key, value in RELEASE.items() if key != "year"}
    assert "year      = {2026}" not in citation(old), "releases of earlier versions do not know it"


def test_no_text_closes_an_entry() -> None:
    said = citation(RELEASE | {"tag": "v1}\n}\n@misc{other, a\\"})
    assert "  version   = {v1 @misc other, a},\n" in said
