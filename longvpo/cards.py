"""Facts and a template to README.md. A card states no number that no file beside it has."""

from __future__ import annotations

from typing import Any, Literal

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from longvpo.folder import shipped


def render(kind: Literal["dataset", "model"], front: dict[str, Any], **values: Any) -> str:
    """The card of a dataset or of an adapter.

    Args:
        front: the YAML front matter, which the Hub and load_dataset read.
        values: what the template names; a name that is not given is an error.
    """
    environment = Environment(
        loader=FileSystemLoader(shipped(f"{kind}_cards")), undefined=StrictUndefined, keep_trailing_newline=True
    )
    text = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return environment.get_template("README.md.jinja").render(front=text, **values)
