"""Facts and a template to README.md. A card states no number that no file beside it has."""

from __future__ import annotations

from typing import Any, Literal

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from longvpo.folder import shipped
from longvpo.recipe import DatasetRecipe


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


def dataset_card(recipe: DatasetRecipe, facts: dict[str, Any], files: dict[str, str]) -> str:
    """The card of a built dataset.

    Args:
        files: path of the parquet file of each config; the first is the default one.
    """
    configs: list[dict[str, Any]] = [
        {"config_name": config, "data_files": [{"split": "train", "path": path}]} for config, path in files.items()
    ]
    configs[0]["default"] = True
    front = {
        "pretty_name": recipe.name,
        "task_categories": ["video-text-to-text"],
        "tags": ["longvpo", "dpo", "preference", "video"],
        "configs": configs,
    }
    return render("dataset", front, name=recipe.name, facts=facts, configs=list(files))
