"""The adapters that are measured: folders, or repositories of the Hub at a revision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from longvpo.errors import LongVPOError
from longvpo.io.files import file_hash
from longvpo.io.home import at_home, split
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.models.load import adapter_folder, check_adapter
from longvpo.recipe.sections import ModelSection


@dataclass(frozen=True)
class Adapter:
    folder: Path
    weights: str  # sha256
    repository: str = ""  # its id on the Hub
    revision: str = ""
    commit: str = ""

    @property
    def origin(self) -> dict[str, str]:
        """Where on the Hub it comes from; empty for a folder, whose path is nobody's business."""
        if not self.repository:
            return {}
        return {"repo_id": self.repository, "revision": self.revision, "commit": self.commit}


def by_name(given: Sequence[str]) -> dict[str, str]:
    """Adapters as the command line has them, by the names under which results are shown.

    That of a folder is its last name, that of a repository its id, with the revision where one is given.

    Raises:
        LongVPOError: two have one name, or one has none.
    """
    if not all(one.strip() for one in given):
        raise LongVPOError("an adapter is an empty text: give a folder, or the id of a repository")
    names = [_name(one) for one in given]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LongVPOError(f"two adapters go by the name of {twice[0]}: results could not tell them apart; rename one")
    return dict(zip(names, given, strict=True))


def _name(given: str) -> str:
    path = Path(at_home(given))
    if not path.is_dir():
        return given
    return path.name if path.name.strip(".") else path.resolve().name  # `.` has no name of its own


def check_names(given: Iterable[str]) -> None:
    """Raises LongVPOError when an adapter is called as the base is."""
    if "base" in given:
        raise LongVPOError("an adapter cannot go by the name of base: rename its folder")


def find_adapters(base: ModelSection, given: Mapping[str, str | Path]) -> dict[str, Adapter]:
    """The adapters in folders, those of the Hub fetched.

    Args:
        given: folders, or repositories as `ID` or `ID@REVISION`, by the names under which results are shown.

    Raises:
        LongVPOError: one cannot be had, is of another base, or is called `base`.
    """
    check_names(given)
    found = {}
    for name, one in given.items():
        where, revision = split(one)
        folder = adapter_folder(where, revision)
        check_adapter(base, folder)
        # the Hub's client names the folder of what it fetched after the commit
        origin = () if Path(where).is_dir() else (where, revision, folder.name)
        found[name] = Adapter(folder, file_hash(folder / ADAPTER_WEIGHTS), *origin)
    return found
