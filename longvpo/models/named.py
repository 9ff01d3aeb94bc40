"""The writer that a section of a recipe names."""

from __future__ import annotations

from longvpo.models.endpoint import EndpointWriter
from longvpo.models.local import LocalWriter
from longvpo.models.writer import Writer
from longvpo.recipe.sections import WriterSection


def writer_of(section: WriterSection) -> Writer:
    """A model on this machine, loaded, or one behind its server."""
    return LocalWriter(section) if section.endpoint is None else EndpointWriter(section, section.endpoint)
