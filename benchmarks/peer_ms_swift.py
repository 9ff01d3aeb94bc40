"""What a DPO step costs in ms-swift on the case of peer_case.py, run by the Python of ms-swift's environment.

    python benchmarks/peer_case.py case /tmp/case --frames 64
    $(python benchmarks/peer_case.py environment) benchmarks/peer_ms_swift.py /tmp/case [--no-checkpointing]

Prints one JSON line. The trainer is ms-swift's own, made by its own command from its own arguments. It trains one pair
per step, with LoRA only on the linear layers of the language model, in float32 on one CPU thread. A step is from the
batch to the updated adapter; decoding and tokenising are not in it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from peer_case import ALPHA, FPS, RANK, STEPS, TOKENS_PER_FRAME, WARM_UP, Case, Meter, read_case

PROJECTIONS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
VIDEO_TOKEN = 151_656
SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "FORCE_QWENVL_VIDEO_READER": "decord",
    # the frames as they are: two of them make twice the tokens of one
    "FPS": str(FPS),
    "VIDEO_MIN_TOKEN_NUM": str(2 * TOKENS_PER_FRAME),
    "VIDEO_MAX_TOKEN_NUM": str(2 * TOKENS_PER_FRAME),
}


def write_dataset(case: Case, path: Path) -> None:
    """The case's pairs in ms-swift's own form."""
    with path.open("w") as rows:
        for row in case.rows():
            messages = [
                {"role": "user", "content": "<video>" + row["prompt"]},
                {"role": "assistant", "content": row["chosen"]},
            ]
            said = {"messages": messages, "rejected_response": row["rejected"], "videos": [str(case.video.resolve())]}
            rows.write(json.dumps(said) + "\n")


def arguments(case: Case, dataset: Path, scratch: Path, checkpointing: bool) -> list[str]:
    settings = {
        "rlhf_type": "dpo",
        "model": case.model,
        "model_type": "qwen2_5_vl",
        "template": "qwen2_5_vl",
        "torch_dtype": "float32",
        "tuner_type": "lora",
        "target_modules": "all-linear",
        "freeze_vit": True,
        "freeze_aligner": True,
        "lora_rank": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0,
        "gradient_checkpointing": checkpointing,
        "dataset": dataset,
        "split_dataset_ratio": 0,
        "dataset_shuffle": False,
        "train_dataloader_shuffle": False,
        "dataloader_num_workers": 0,
        "max_length": 131_072,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 1,
        "max_steps": WARM_UP + STEPS,
        "learning_rate": 1e-5,
        "warmup_steps": 0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "check_model": False,
        "output_dir": scratch / "output",
    }
    return [text for name, value in settings.items() for text in (f"--{name}", str(value))]


def check_trained(model: Any) -> None:
    """What is trained is LoRA in float32 on every projection of the language model, and nothing else."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    layers = model.config.get_text_config().num_hidden_layers
    assert all(".language_model." in name and ".lora_" in name for name in trained), sorted(trained)
    assert len(trained) == 2 * len(PROJECTIONS) * layers, sorted(trained)
    assert {name.split(".lora_")[0].rsplit(".", 1)[1] for name in trained} == PROJECTIONS, sorted(trained)
    assert {str(parameter.dtype) for parameter in model.parameters()} == {"torch.float32"}


def check_batch(batch: dict[str, Any], case: Case) -> None:
    """Both sequences hold a token for each place of the video's grid: none of it was dropped."""
    grids = (batch["video_grid_thw"].prod(-1) // 4).tolist()
    found = (batch["input_ids"] == VIDEO_TOKEN).sum(-1).tolist()
    assert found == grids == [case.video_tokens] * 2, (found, grids, case.video_tokens)
    assert len(batch["pixel_values_videos"]) == 2 * 4 * case.video_tokens


def measure(case: Case, checkpointing: bool) -> dict[str, Any]:
    import torch
    from swift.pipelines.train.rlhf import SwiftRLHF
    from swift.version import __version__
    from transformers import TrainerCallback

    torch.set_num_threads(1)
    meter, shapes = Meter(), []

    class Steps(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            meter.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            meter.stop()

    class Measured(SwiftRLHF):
        def train(self, trainer: Any) -> dict[str, Any]:
            check_trained(trainer.model)
            collate = trainer.data_collator

            def checked(*given: Any, **named: Any) -> dict[str, Any]:
                batch = collate(*given, **named)
                check_batch(batch, case)
                shapes.append(list(batch["input_ids"].shape))
                return batch

            trainer.data_collator = checked
            trainer.add_callback(Steps())
            trainer.train()
            losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
            assert math.isclose(losses[0], math.log(2), rel_tol=1e-3), losses  # the reference is the start
            return {"loss": losses[-1], "checkpointing": trainer.args.gradient_checkpointing}

    with tempfile.TemporaryDirectory() as folder:
        os.environ["MODELSCOPE_CACHE"] = os.environ["HF_DATASETS_CACHE"] = folder
        dataset = Path(folder) / "pairs.jsonl"
        write_dataset(case, dataset)
        result = Measured(arguments(case, dataset, Path(folder), checkpointing)).main()
    return {
        "peer": "ms-swift",
        "version": __version__,
        "frames": case.frames,
        "video_tokens": case.video_tokens,  # as found in its input_ids
        "tokens": max(length for _, length in shapes),
        **meter.summary(),
        **result,
        "steps": meter.steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the case")
    parser.add_argument("--no-checkpointing", action="store_true", help="without gradient checkpointing, its default")
    options = parser.parse_args()
    os.environ.update(SETTINGS)
    with contextlib.redirect_stdout(sys.stderr):
        result = measure(read_case(options.folder), not options.no_checkpointing)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
