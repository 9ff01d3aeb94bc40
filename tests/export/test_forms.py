"""Exported rows, read by parsers that take nothing but what each tool documents; TRL's by TRL itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import load_dataset
from support import exported as forms
from support.exported import exported, read_rows
from support.families import internvl
from support.trainers import lora
from support.triplets import triplets

from longvpo.export.forms import FORMS, Form
from longvpo.video.probe import probe

PARSERS = {
    "trl": forms.trl,
    "ms-swift": forms.ms_swift,
    "llama-factory": forms.llama_factory,
    "verl-grpo": forms.verl_grpo,
}


@pytest.mark.parametrize("pictures", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_row_is_in_the_tools_form(form: Form, pictures: bool, world: Path, tmp_path: Path) -> None:
    folder = exported(form, tmp_path, world, pictures=pictures)
    rows, sent = read_rows(folder), triplets("stage1", 3, 3)
    assert len(rows) == len(sent)
    for row, ours in zip(rows, sent, strict=True):
        *texts, files = PARSERS[form](row, folder)
        assert texts == [ours["prompt"], ours["chosen"], ours["rejected"]]
        assert all(path.is_file() for path in files)
        seconds = 4.0 * len(ours["context"])
        if pictures or form == "trl":
            assert len(files) == seconds
        else:
            assert probe(files[0]).seconds == pytest.approx(seconds)


def test_evidence_says_where_the_answer_is_seen(world: Path, tmp_path: Path) -> None:
    folder = exported("verl-grpo", tmp_path, world)
    for number, (row, ours) in enumerate(zip(read_rows(folder), triplets("stage1", 3, 3), strict=True)):
        about, places = row["extra_info"], ours["anchors"]
        assert (about["index"], about["id"], about["anchors"]) == (number, ours["id"], places)
        assert about["anchor_seconds"] == [[4.0 * place, 4.0 * place + 4] for place in places]
        assert about["seconds"] == 4.0 * len(ours["context"])
        clips = [{name: clip[name] for name in ("source", "video", "start", "end")} for clip in ours["context"]]
        assert [{name: clip[name] for name in clips[0]} for clip in about["clips"]] == clips
        assert [clip["from"] for clip in about["clips"]] == [4.0 * place for place in range(len(clips))]


def test_trl_trains_on_its_form(world: Path, tmp_path: Path) -> None:
    """By its own collator, and a step of its DPOTrainer on a small InternVL."""
    from trl import DPOConfig, DPOTrainer

    folder = exported("trl", tmp_path, world)
    rows = load_dataset("imagefolder", data_dir=str(folder), split="train")
    assert set(rows.column_names) == {"images", "prompt", "chosen", "rejected"}
    model, processor = internvl()
    processor.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
        "{% if part.type == 'image' %}<IMG_CONTEXT>\n{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    settings: dict[str, Any] = {"max_length": None, "per_device_train_batch_size": 2, "bf16": False, "use_cpu": True}
    arguments = DPOConfig(tmp_path / "out", report_to="none", gradient_checkpointing=False, **settings)
    given: dict[str, Any] = {"train_dataset": rows, "processing_class": processor, "peft_config": lora(r=4)}
    trainer = DPOTrainer(model, args=arguments, **given)
    batch = next(iter(trainer.get_train_dataloader()))
    frames = sum(len(row["images"]) for row in rows)
    assert frames == sum(4 * len(row["context"]) for row in triplets("stage1", 3, 3))
    assert batch["input_ids"].shape[0] == 4, "chosen and rejected of two rows"
    assert torch.isfinite(trainer.compute_loss(trainer.model, batch))


def test_the_page_of_each_tool_names_the_folder_and_the_licences(world: Path, tmp_path: Path) -> None:
    for form in FORMS:
        page = (exported(form, tmp_path, world) / "README.md").read_text()
        assert "| `drawn` | `unknown` |" in page
        assert str(tmp_path) not in page
    info = json.loads((exported("llama-factory", tmp_path, world) / "dataset_info.json").read_text())
    assert list(info) == ["triplets"]
    assert "dataset: triplets" in (exported("llama-factory", tmp_path, world) / "README.md").read_text()
