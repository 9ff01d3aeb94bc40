"""The adapter that is trained: which linear layers of a base get one.

The rule: no table of families. `lora.target_modules` names the layers of the language model. The layers of the vision
side are read from the base, and go into the adapter's configuration by their names, with any number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from longvpo.errors import LongVPOError
from longvpo.models.load import is_language
from longvpo.models.memory import CONNECTOR, Skeleton, linear_layers, skeleton_of
from longvpo.recipe.sections import ModelSection
from longvpo.recipe.training import LoraSection

if TYPE_CHECKING:
    from peft import LoraConfig


def lora_config(section: LoraSection, base: ModelSection, skeleton: Skeleton | None = None) -> LoraConfig:
    """PEFT's configuration of a new adapter.

    Args:
        skeleton: the base's, where it is there already.

    Raises:
        LongVPOError: `lora.vision` names what the base has not.
    """
    from peft import LoraConfig

    values = section.of_peft()
    if section.vision != "none" and section.target_modules != "all-linear":  # which has the vision side
        skeleton = skeleton or skeleton_of(base)
        names = vision_layers(skeleton, section.vision)
        if not names:
            raise LongVPOError(
                f"lora.vision: {base.model} has no {section.vision} of linear layers under a known name: set it to "
                "none, and name the layers in lora.target_modules"
            )
        values["target_modules"] = f"(?:{section.target_modules})|{pattern_of(names, skeleton)}"
    return LoraConfig(**values, task_type="CAUSAL_LM")


def vision_layers(skeleton: Skeleton, part: str) -> list[str]:
    """Names of the linear layers of the vision side: `all`, or only the `connector`."""
    from torch.nn import Linear

    return [
        name
        for name, module in linear_layers(skeleton.vision).items()
        # other kinds are layers that no forward calls, such as that of nn.MultiheadAttention
        if type(module) is Linear and name != "lm_head" and (part == "all" or {*name.split(".")} & {*CONNECTOR})
    ]


def check_kept_features(trained: Iterable[str], cache_gb: float) -> None:
    """Raises LongVPOError when features of a vision side are to be kept that is trained.

    Args:
        trained: names of what is trained: layers, or their parameters.
    """
    if cache_gb and not all(map(is_language, trained)):
        raise LongVPOError(
            "vision_cache_gb keeps features of a frozen vision side, but this adapter trains it: set "
            "vision_cache_gb=0, or lora.vision=none"
        )


def pattern_of(names: list[str], skeleton: Skeleton) -> str:
    """A regular expression of these names and of no other: the numbers of blocks are left open where that holds."""
    exact = [re.escape(name) for name in names]
    short = "|".join(sorted({re.sub(r"(?<=\\\.)\d+(?=\\\.)", r"\\d+", name) for name in exact}))
    modules = (*skeleton.vision, *skeleton.language)
    return short if {name for name in modules if re.fullmatch(short, name)} == set(names) else "|".join(exact)
