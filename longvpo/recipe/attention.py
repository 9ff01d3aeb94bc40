"""The names that an attention may have in a recipe."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

KNOWN = re.compile(r"sdpa|eager|flash_attention_[23]|[\w.-]+/[\w.-]+(@[\w.-]+)?")
# a kernel is code that runs; transformers trusts the kernels of one organisation
TRUSTED, PINNED = "kernels-community/", re.compile(r".*@[0-9a-f]{40}")


def _known(name: str) -> str:
    if not KNOWN.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a known attention: set it to sdpa, eager, flash_attention_2, flash_attention_3, or "
            "to a kernel on the Hub such as kernels-community/flash-attn3"
        )
    if "/" in name and not name.startswith(TRUSTED) and not PINNED.fullmatch(name):
        raise ValueError(
            f"{name!r} runs other people's code: pin its commit, as in {name.partition('@')[0]}@<40 hex digits>"
        )
    return name


Attention = Annotated[str, AfterValidator(_known)]
