"""The writer that a section of a recipe names."""

from __future__ import annotations

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


def writer_of(section: WriterSection) -> Writer:
    """A model on this machine, loaded, or one behind its server."""
    return LocalWriter(section) if section.endpoint is None else EndpointWriter(section, section.endpoint)
