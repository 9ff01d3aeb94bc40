"""An adapter merged into its base: a whole model that speaks of itself, not of the adapter's release."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.world import GOLDEN, TINY

from longvpo.errors import LongVPOError
from longvpo.io.files import PROVENANCE, RELEASE, read_json
from longvpo.models.load import load_model
from longvpo.training.merge import merge


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """One that was published and fetched again, with new weights."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path / "fetched"
    config = LoraConfig.from_pretrained(GOLDEN / "adapter")
    config.base_model_name_or_path = None
    made = get_peft_model(load_model(TINY), config)
    made.peft_config["default"].base_model_name_or_path = "tiny"
    made.save_pretrained(folder, save_embedding_layers=False)
    for path in (GOLDEN / "adapter").iterdir():
        shutil.copy(path, folder)
    return folder


def test_a_merged_model_does_not_go_by_the_name_of_its_adapter(adapter: Path, tmp_path: Path) -> None:
    assert read_json(adapter / PROVENANCE)["release"]["repo_id"] == "alice/longvpo-tiny-stage2"
    facts = merge(adapter, tmp_path / "whole")
    name = read_json(adapter / "facts.json")["name"] + "-merged"
    assert facts["name"] == read_json(tmp_path / "whole" / "facts.json")["name"] == name
    provenance = read_json(tmp_path / "whole" / PROVENANCE)
    assert not {"release", "files"} & provenance.keys()
    assert provenance["dataset"]["repo_id"] == "alice/longvpo-tiny"
    card = (tmp_path / "whole" / "README.md").read_text()
    assert f'from_pretrained("{name}"' in card
    assert "alice/longvpo-tiny-stage2" not in card
    with pytest.raises(LongVPOError, match="holds no adapter to merge"):
        merge(tmp_path / "whole", tmp_path / "twice")
    # the same again does nothing, so that what publishes it can follow in the same line
    made = (tmp_path / "whole" / "model.safetensors").stat().st_mtime_ns
    assert merge(adapter, tmp_path / "whole") == facts
    assert (tmp_path / "whole" / "model.safetensors").stat().st_mtime_ns == made
    with pytest.raises(LongVPOError, match="another recipe or of other input"):
        merge(adapter, adapter)
    # published from here, it has that name
    (adapter / RELEASE).write_text(json.dumps({"repo_id": "bob/mine", "tag": "v1", "commit": "0"}))
    assert merge(adapter, tmp_path / "again")["name"] == "bob/mine-merged"
