"""An adapter merged into its base, in a folder that can be published.

    longvpo merge ADAPTER --output FOLDER

The result needs no PEFT, and takes the base's place; `longvpo push` publishes it like an adapter.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError
from longvpo.io.disk import check_room
from longvpo.io.files import CARD_HASH, PROVENANCE, RELEASE, TRAINED, as_json, file_hash, write_text
from longvpo.io.output import finished, place_of, whole_output
from longvpo.io.records import read_record, understood
from longvpo.io.weights import ADAPTER_WEIGHTS, check_weights
from longvpo.models.load import load_model, load_processor
from longvpo.recipe.training import BaseSection
from longvpo.release.card_file import write_card
from longvpo.release.cards import kind_of

KEPT = ("recipe.yaml", "trainer_state.json", "curves.png", "results.json", "heat_map.png", TRAINED)
NOT_KEPT = ("release", "files", CARD_HASH)  # keys of provenance.json that speak of the adapter's own release

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def merge(adapter: Path, output: Path) -> dict[str, Any]:
    """Write the whole model, its processor and the adapter's own records into the folder `output`.

    The base is loaded in the precision of its recipe and not quantised. An adapter that was trained on an NF4 base
    meets slightly different weights here. The same call again does nothing.

    Returns:
        The facts of the result: those of the adapter, with the name under which it is published by default.

    Raises:
        LongVPOError: the folder holds no adapter that was trained by longvpo, or its base cannot be loaded.
    """
    if kind_of(adapter) != "model" or not (adapter / "adapter_config.json").is_file():
        raise LongVPOError(f"{adapter} holds no adapter to merge")
    with understood(adapter / "recipe.yaml", adapter / "facts.json"):
        facts = read_record(adapter / "facts.json")
        section = read_record(adapter / "recipe.yaml")["base"]
        revision = facts["base"]["revision"]  # a branch may move
        base = BaseSection(**section | {"quantization": None, "attention": None, "revision": revision})
        made = {key: value for key, value in read_record(adapter / PROVENANCE).items() if key not in NOT_KEPT}
        size = facts["base"]["parameters"] * BYTES[base.dtype]
        published = read_record(adapter / RELEASE)["repo_id"] if (adapter / RELEASE).is_file() else facts["name"]
        trained = facts["key"]
    check_weights(adapter / ADAPTER_WEIGHTS)
    key = f"{trained},{file_hash(adapter / ADAPTER_WEIGHTS)},merged"
    done = finished(place_of(output), "facts.json", key)
    if done:
        return done
    facts |= {"key": key, "name": f"{published}-merged"}
    with whole_output(output, key) as folder:
        check_room(folder, size, "the merged model takes")
        model = load_model(base, adapter).merge_and_unload()
        model.save_pretrained(folder)
        load_processor(base).save_pretrained(folder)
        for name in KEPT:
            if (adapter / name).is_file():
                shutil.copy(adapter / name, folder / name)
        write_text(folder / "facts.json", as_json(facts))
        write_text(folder / PROVENANCE, as_json(made))
        write_card(folder)
    return facts
