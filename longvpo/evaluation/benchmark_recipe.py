"""With which model and which frames benchmarks are asked: those of a recipe, and what is said beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from longvpo.errors import LongVPOError, did_you_mean
from longvpo.io.files import read_json
from longvpo.io.home import split
from longvpo.io.yaml_text import parse_value
from longvpo.models.load import adapter_folder
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import check_recipe, read_recipe
from longvpo.recipe.sections import ModelSection, Section, VideoSection

SECTIONS = ("base.", "video.")
OVERRIDDEN = ("name", "base", "video", "batch_size", "frame_budget")  # what is said of other keys decides no answer
SHORT = {  # names for values of a recipe
    "base": "base.model",
    "revision": "base.revision",
    "dtype": "base.dtype",
    "quantization": "base.quantization",
    "frames": "video.max_frames",
    "fps": "video.fps",
    "short_side": "video.short_side",
}


class BenchmarkRecipe(Section):
    """What of a recipe decides an answer on a benchmark. A video is a context: it may have as many frames as one."""

    name: str = Field("lmms-eval", description="for errors")
    base: ModelSection = Field(description="the model that is asked")
    video: VideoSection = Field(VideoSection(), description="how a video becomes frames")
    batch_size: int = Field(1, gt=0, description="questions that are answered together")


def read_benchmark_recipe(recipe: str, said: Sequence[str]) -> BenchmarkRecipe:
    """How a recipe's base is asked.

    Args:
        recipe: a file or a built-in name, of an evaluation or a training; empty: all is said.
        said: overrides, as section.key=value.

    Raises:
        LongVPOError: the recipe names no base, or a value is unknown or wrong.
    """
    budgets = [one.partition("=")[2] for one in said if key_of(one) == "frame_budget"]
    values: dict[str, Any] = {"base": {}}
    if recipe:
        read = read_recipe(EvaluateRecipe, recipe)
        if not isinstance(read.get("base"), dict):
            raise LongVPOError(f"recipe {recipe} names no base: give the recipe of a training or of an evaluation")
        values = {name: value for name, value in read.items() if name in BenchmarkRecipe.model_fields}
        values["base"] = {
            name: value for name, value in read["base"].items() if name != "hub_id"
        }  # a key of trainings
        budget = parse_value(budgets[-1]) if budgets else read.get("frame_budget")
        if budget is not None:  # a training's, for a context
            values["video"] = {**(read.get("video") or {}), "max_frames": budget}
            # a whole section takes the place of the recipe's
            said = [more for one in said for more in _with_frames(one, budget)]
    said = [one for one in said if key_of(one) != "frame_budget"]
    return check_recipe(BenchmarkRecipe, recipe or "of model arguments", values, said)


def _with_frames(override: str, budget: Any) -> list[str]:
    silent = override.startswith("video=") and "max_frames" not in override
    return [override, f"video.max_frames={budget}"] if silent else [override]


def passed_on(recipe: str, asked: BenchmarkRecipe) -> list[str]:
    """What is to be said beside a recipe so that read_benchmark_recipe gives what `asked` says of base and frames.

    However a value was said, as a whole section or by a key of a training, it is said by its own key here.
    """
    plain = read_benchmark_recipe(recipe, ())
    found: list[str] = []
    for section in ("base", "video"):
        now, before = (_leaves(getattr(one, section).model_dump(mode="json")) for one in (asked, plain))
        # what the recipe says of a model does not hold for another one
        other = section == "base" and asked.base.model != plain.base.model
        found += [
            f"{section}.{key}={_yaml(value)}"
            for key, value in now.items()
            if key != "license" and (value != before.get(key) or (other and value is not None))
        ]
    return found


def _leaves(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        inner = _leaves(value) if isinstance(value, dict) else None
        found |= {f"{key}.{name}": one for name, one in inner.items()} if inner else {key: value}
    return found


def key_of(override: str) -> str:
    """The first name of an override's key."""
    return re.split(r"[.=]", override, maxsplit=1)[0]


def read_as_trained(
    adapter: str | None, base: str | None, recipe: str, overrides: Sequence[str] = ()
) -> BenchmarkRecipe:
    """How a base is asked: as a recipe says, or else as the training of its adapter did, which lies beside that.

    Args:
        adapter: a folder, or a repository as `ID` or `ID@REVISION`.
        base: the model, where it is named.
        recipe: as in read_benchmark_recipe; empty: none is named.
        overrides: values of `base` and `video`, as section.key=value.

    Raises:
        LongVPOError: no base is named, or the adapter cannot be had.
    """
    said = [*([f"base.model={json.dumps(base)}"] if base else []), *overrides]
    folder = adapter_folder(*split(adapter)) if adapter and not recipe else None
    if folder and not (folder / "adapter_config.json").is_file():
        raise LongVPOError(f"{folder} is not an adapter: it has no adapter_config.json")
    if folder and (folder / "recipe.yaml").is_file():
        found = read_benchmark_recipe(str(folder / "recipe.yaml"), said)
        # the folder of kept frames is on the machine that trained
        return found.model_copy(update={"video": found.video.model_copy(update={"frames": None})})
    if folder and not base:  # another trainer made it
        config = read_json(folder / "adapter_config.json")
        trained_on = config.get("base_model_name_or_path") if isinstance(config, dict) else None
        said.insert(0, f"base.model={json.dumps(trained_on)}")
    if not recipe and not any(one.startswith("base.model=") for one in said):
        raise LongVPOError("no base is named: give --base MODEL, --adapter FOLDER_OR_ID, or --recipe RECIPE")
    return read_benchmark_recipe(recipe, said)


def overrides_of(arguments: Mapping[str, Any]) -> list[str]:
    """Model arguments of lmms-eval as overrides of a recipe. Raises LongVPOError when one is unknown."""
    unknown = [key for key in arguments if key not in SHORT and not key.startswith(SECTIONS)]
    if unknown:
        known = [*SHORT, "recipe", "adapter", "adapter_revision", "journal"]
        raise LongVPOError(
            f"unknown model argument {unknown[0]}{did_you_mean(unknown[0], known)}: there are {', '.join(known)}, and "
            "base.KEY and video.KEY as in a recipe"
        )
    return [f"{SHORT.get(key, key)}={_yaml(value)}" for key, value in arguments.items()]


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
