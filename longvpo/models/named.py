"""The writer that a section of a recipe names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from longvpo.errors import LongVPOError
from longvpo.io.home import may_be_id
from longvpo.models.endpoint import EndpointWriter
from longvpo.models.load import check_model, writers_adapter
from longvpo.models.local import LocalWriter
from longvpo.models.writer import Writer
from longvpo.recipe.sections import WriterSection


def check_writer(section: WriterSection, sees: bool) -> None:
    """Look at the configuration of a model on this machine, or at the address of one behind a server.

    Args:
        sees: it is shown videos.

    Raises:
        LongVPOError: it cannot be had, or takes no video where it must.
    """
    if section.endpoint is not None:
        EndpointWriter(section, section.endpoint)
        return
    check_model(section, sees)
    writers_adapter(section)


def refusals(checks: Iterable[tuple[str, Callable[[], object]]]) -> list[str]:
    """What checks of models refuse, for a plan. A model on the Hub that cannot be reached from here is not an error: a
    plan may be made without a network.

    Args:
        checks: each with the name of what it looks at.
    """
    found = []
    for name, check in checks:
        try:
            check()
        except LongVPOError as error:
            unreachable = error.__cause__ is not None and may_be_id(name) and not Path(name).exists()
            found += [] if unreachable else [str(error)]
    return list(dict.fromkeys(found))


def writer_of(section: WriterSection) -> Writer:
    """A model on this machine, loaded, or one behind its server."""
    return LocalWriter(section) if section.endpoint is None else EndpointWriter(section, section.endpoint)
