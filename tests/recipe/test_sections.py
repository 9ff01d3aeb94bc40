"""Names of sections that moved are found where they stood."""

from __future__ import annotations

from longvpo.recipe import sections, sources


def test_sources_are_found_where_they_stood() -> None:
    assert sections.SourceSection is sources.SourceSection
    assert not hasattr(sections, "NothingSection")
