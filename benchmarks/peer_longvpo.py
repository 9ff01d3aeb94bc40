"""What a DPO step costs in longvpo on the case of peer_case.py.

    python benchmarks/peer_case.py case /tmp/case --frames 64
    python benchmarks/peer_longvpo.py /tmp/case [--reference full] [--no-checkpointing]

Prints one JSON line. The setting is that of peer_ms_swift.py: one pair per step, LoRA on all linear layers of the
language model, float32, one thread. A step goes from the batch to the updated adapter. The reference is scored at each
step, on a clip of 8 frames; `--reference full` scores it on the whole video, as ms-swift does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from peer_case import ALPHA, RANK, STEPS, WARM_UP, Case, Meter, read_case

CLIP = 8  # frames


def measure(case: Case, reference: str, checkpointing: bool) -> dict[str, Any]:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback

    from longvpo.models.load import load_model, load_processor
    from longvpo.recipe.sections import ModelSection, VideoSection
    from longvpo.recipe.training import LoraSection
    from longvpo.training.collator import AnchoredCollator
    from longvpo.training.run import training_arguments
    from longvpo.training.step.trainer import AnchoredDPOTrainer
    from longvpo.video.frames import ClipFrames

    torch.set_num_threads(1)
    base = ModelSection(model=str(case.model), dtype="float32", quantization=None)
    processor, meter = load_processor(base), Meter()
    seconds = CLIP / case.fps
    clips = [
        {"source": "case", "video": case.video.name, "start": place * seconds, "end": (place + 1) * seconds}
        for place in range(case.frames // CLIP)
    ]
    rows = [row | {"context": clips, "anchors": [1], "reference": reference} for row in case.rows()]
    frames_of = ClipFrames(VideoSection(fps=case.fps), {"case": case.folder})

    class Steps(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            meter.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            meter.stop()

    section = {
        "beta": 0.1,
        "bf16": False,
        "learning_rate": 1e-5,
        "per_device_train_batch_size": 1,
        "gradient_checkpointing": checkpointing,
        "max_steps": WARM_UP + STEPS,
        "logging_steps": 1,
        "save_strategy": "no",
    }
    with tempfile.TemporaryDirectory() as folder:
        trainer = AnchoredDPOTrainer(
            model=load_model(base),
            args=training_arguments(section, Path(folder)),
            train_dataset=Dataset.from_list(rows),
            processing_class=processor,
            data_collator=AnchoredCollator(processor, frames_of),
            peft_config=LoraConfig(**LoraSection(r=RANK, lora_alpha=ALPHA).of_peft(), task_type="CAUSAL_LM"),
        )
        trainer.add_callback(Steps())
        trainer.train()
    batch = trainer.data_collator(rows[:1])
    video_tokens = int((batch["input_ids"][0] == trainer.vision.core.config.video_token_id).sum())
    assert video_tokens == case.video_tokens, (video_tokens, case.video_tokens)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "frames": case.frames,
        "video_tokens": video_tokens,
        "tokens": batch["input_ids"].shape[1],
        **meter.summary(),
        "loss": losses[-1],
        "reference": reference,
        "checkpointing": checkpointing,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the case")
    parser.add_argument("--reference", choices=("anchor", "full"), default="anchor")
    parser.add_argument("--no-checkpointing", action="store_true")
    options = parser.parse_args()
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    with contextlib.redirect_stdout(sys.stderr):
        result = measure(read_case(options.folder), options.reference, not options.no_checkpointing)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
