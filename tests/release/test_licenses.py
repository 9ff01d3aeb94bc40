"""Licences are ids that the Hub knows."""

from __future__ import annotations

import pytest

from longvpo.errors import LongVPOError
from longvpo.release.licenses import check_license


@pytest.mark.parametrize(("given", "meant"), [("Apache-2.0", "apache-2.0"), ("cc-by-4", "cc-by-4.0"), ("gpl3", "gpl")])
def test_a_licence_that_the_hub_does_not_know(given: str, meant: str) -> None:
    with pytest.raises(LongVPOError, match=rf"license: {given} is not a licence id of the Hub \(did you mean {meant}"):
        check_license(given, "license", "license=")
    assert check_license(meant, "license", "license=") == meant
