"""An adapter merged into its base, in a folder that can be published.

    longvpo push FOLDER --merged

The result needs no PEFT, and takes the base's place.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from longvpo.cards import kind_of
from longvpo.errors import LongVPOError
from longvpo.io.disk import check_room, writing
from longvpo.io.files import PROVENANCE
from longvpo.io.records import read_record, understood
from longvpo.models.load import load_model, load_processor
from longvpo.recipe.sections import ModelSection

KEPT = ("facts.json", "recipe.yaml", PROVENANCE, "trainer_state.json", "curves.png", "results.json", "heat_map.png")

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
ELSEWHERE = "set TMPDIR to a folder with more space"


def merge(adapter: Path, output: Path) -> None:
    """Write the whole model, its processor and the adapter's own records into the folder `output`.

    The base is loaded in the precision of its recipe and not quantised: an adapter that was trained on an NF4 base
    meets slightly other weights here.

    Raises:
        LongVPOError: the folder holds no adapter that was trained by longvpo, or its base cannot be loaded.
    """
    if kind_of(adapter) != "model" or not (adapter / "adapter_config.json").is_file():
        raise LongVPOError(f"{adapter} holds no adapter to merge")
    with understood(adapter / "recipe.yaml", adapter / "facts.json"):
        facts = read_record(adapter / "facts.json")["base"]
        section = read_record(adapter / "recipe.yaml")["base"]
        base = ModelSection(**section | {"quantization": None, "revision": facts["revision"]})  # a branch may move
        size = facts["parameters"] * BYTES[base.dtype]
    check_room(output, size, "the merged model takes", ELSEWHERE)
    model = load_model(base, adapter).merge_and_unload()
    with writing(output, ELSEWHERE):
        output.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(output)
        load_processor(base).save_pretrained(output)
        for name in KEPT:
            if (adapter / name).is_file():
                shutil.copy(adapter / name, output / name)
