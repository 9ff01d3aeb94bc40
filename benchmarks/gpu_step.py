"""A step of DPO on a long video on one GPU: stock TRL against ours, on an InternVL3-8B of random weights in NF4.

    python benchmarks/gpu_step.py [--frames 64 128 256] [--sides stock full ours precomputed kept offload] [--out FILE]
    python benchmarks/gpu_step.py --tiny          # the same on a CPU, in seconds: shows only that it runs

Nothing is downloaded. The model is made from its configuration on the device, in bfloat16. The linear layers of its
language model are put into NF4 one by one. Frames are noise, in clips of 8. Every case prints one line of JSON at
once: what was measured before a time limit is there.

    stock         TRL's own DPOTrainer, gradient checkpointing on
    ours          the same setting; the reference is scored at each step, on one clip
    full          the same setting; the reference is scored on the whole context, so that the loss is stock's
    precomputed   the same setting; the reference was scored before
    kept          as precomputed; the clips' vision features are kept on the CPU
    offload       as ours; what checkpointing keeps waits on the CPU (training.activation_offloading)

`mfu` is the arithmetic that the model needs, without what is computed again. It is divided by the arithmetic of a
matrix product of 8192 x 8192 x 8192 in bfloat16 in the same time. `loss_off` and `grad_off` are relative to the first
side. `estimate_gb` is what `longvpo train --dry-run` says of such a row.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import step_parts
import torch
import transformers
from datasets import Dataset
from gpu_models import CUDA, built, emptied, internvl
from peft import LoraConfig
from torch.nn.attention import SDPBackend, sdpa_kernel

from longvpo.models.counting import RowLength
from longvpo.models.memory import Skeleton
from longvpo.recipe.sections import ModelSection
from longvpo.recipe.training import LoraSection
from longvpo.training.arguments import training_arguments
from longvpo.training.arithmetic import Arithmetic
from longvpo.training.collator import AnchoredCollator
from longvpo.training.memory import step_memory
from longvpo.training.step.trainer import AnchoredDPOTrainer

SIDES = ("stock", "full", "ours", "precomputed", "kept")
SCORED_BEFORE = ("precomputed", "kept")
LORA = LoraConfig(**LoraSection().of_peft(), task_type="CAUSAL_LM")


class Side:
    """One way to compute a step of one triplet."""

    def __init__(
        self, name: str, model: Any, processor: Any, frames: int, folder: str, together: int = 1, **changed: Any
    ) -> None:
        stock = name == "stock"
        row = step_parts.row(frames) | ({"reference": "full"} if name == "full" else {})
        row |= {"chosen": " ".join([row["chosen"]] * 8), "rejected": " ".join([row["rejected"]] * 12)}
        section = {
            "beta": 0.1,
            "bf16": CUDA,
            "per_device_train_batch_size": 1,
            "gradient_checkpointing": True,
            "activation_offloading": name == "offload",
            "save_strategy": "no",
        } | changed
        self.trainer = (step_parts.StockTrainer if stock else AnchoredDPOTrainer)(
            model=model,
            args=training_arguments(section, Path(folder)),
            train_dataset=Dataset.from_list([row]),
            processing_class=processor,
            data_collator=(step_parts.StockCollator if stock else AnchoredCollator)(processor, step_parts.Noise()),
            peft_config=LORA,
            **({"vision_cache_gb": 8.0} if name == "kept" else {}),
            **({"sequence_parallel": together} if together > 1 else {}),
        )
        generator = torch.Generator().manual_seed(0)
        for key, parameter in self.trainer.model.named_parameters():
            if "lora_" in key:
                scale = 0.01 if "lora_B" in key else parameter.shape[1] ** -0.5
                drawn = torch.randn(parameter.shape, generator=generator) * scale
                parameter.data = drawn.bfloat16().to(parameter.device, parameter.dtype)
        self.trainer.model.train()
        self.trainer.model.get_base_model().gradient_checkpointing_enable(
            self.trainer.args.gradient_checkpointing_kwargs
        )
        self.batch = self.trainer._prepare_inputs(self.trainer.data_collator([row]))
        if name in SCORED_BEFORE:
            with torch.no_grad():
                seen = self.trainer.with_features(self.batch.pop("reference"))
                chosen, rejected = self.trainer.compute_ref_log_probs(self.trainer.model, seen)
            self.batch |= {"ref_chosen_logps": chosen, "ref_rejected_logps": rejected}
        self.tokens = int(self.batch["attention_mask"][0].sum())
        self.seen = step_parts.CLIP * processor.image_seq_length + int(self.batch["completion_mask"].sum())
        self.answers = int(self.batch["completion_mask"].sum())

    def step(self) -> float:
        with self.trainer.maybe_activation_offload_context:
            with self.trainer.accelerator.autocast():  # as train() has accelerate wrap the model
                loss = self.trainer.compute_loss(self.trainer.model, dict(self.batch))
            loss.backward()
        return float(loss.item())

    def run(self) -> None:
        self.step()
        self.trainer.model.zero_grad()

    def gradients(self) -> torch.Tensor:
        each = [one.grad.float().flatten() for one in self.trainer.model.parameters() if one.grad is not None]
        return torch.cat(each).cpu()


def needed_flops(config: Any, side: Side, name: str, frames: int) -> float:
    """What the model needs for a step, without what is computed again."""
    needs, row = Arithmetic(Skeleton(config)), row_length(side, frames)
    if name == "stock":  # the vision side, and two rows three times
        one = side.tokens
        return 2 * (2 * needs.forward(one) + needs.backward(one)) + 2 * needs.seen(frames, row.pixels)
    if name in SCORED_BEFORE:
        return needs.step(row) - (needs.seen(frames, row.pixels) if name == "kept" else 0)
    return needs.step(row, row.tokens if name == "full" else side.seen)


def row_length(side: Side, frames: int) -> RowLength:
    square = step_parts.SIDE
    tokens = side.tokens + side.answers // 2
    return RowLength(frames, (square, square), frames * 3 * square**2, 0, tokens, side.answers)


def peak_flops() -> float | None:
    """Operations a second of a matrix product in bfloat16."""
    if not CUDA:
        return None
    one = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    begin, end = torch.cuda.Event(True), torch.cuda.Event(True)
    for number in range(13):
        if number == 3:
            begin.record()
        one @ one
    end.record()
    torch.cuda.synchronize()
    return 2 * 8192**3 * 10 / (begin.elapsed_time(end) / 1e3)


def estimate(config: Any, side: Side, frames: int, nf4: bool, **options: int) -> float:
    base = ModelSection(model="x", dtype="bfloat16" if CUDA else "float32", quantization="nf4" if nf4 else None)
    row = row_length(side, frames)
    sizes = (row.tokens, row.answers, row.pixels)
    return step_memory(Skeleton(config), base, LORA, *sizes, checkpointing=True, **options)["total"] / 1e9


def timed(step: Callable[[], object], steps: int, until: float) -> list[float]:
    seconds: list[float] = []
    while len(seconds) < steps and (not seconds or time.monotonic() < until):
        start = time.monotonic()
        step()
        if CUDA:
            torch.cuda.synchronize()
        seconds.append(time.monotonic() - start)
    return seconds


def tell_to(out: Path | None, **record: Any) -> None:
    """Print a line, and add it to a file."""
    print(json.dumps(record), flush=True)
    if out:
        with out.open("a") as file:
            file.write(json.dumps(record) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--frames", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--sides", nargs="+", default=SIDES)
    parser.add_argument("--backend", nargs="+", default=["default"], help="names in torch.nn.attention.SDPBackend")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=480, help="no case begins after so many")
    parser.add_argument("--no-nf4", action="store_true")
    parser.add_argument("--out", type=Path, help="a file that the lines are added to")
    given = parser.parse_args()
    until, nf4 = time.monotonic() + given.seconds, not given.no_nf4
    config, processor = internvl(given.tiny)
    peak = peak_flops()

    tell = partial(tell_to, given.out)
    tell(
        device=torch.cuda.get_device_name() if CUDA else "cpu",
        torch=torch.__version__,
        transformers=transformers.__version__,
        bf16_tflops=peak and round(peak / 1e12),
    )
    cases = [(frames, side, kind) for frames in given.frames for side in given.sides for kind in given.backend]
    first: dict[int, tuple[float, torch.Tensor]] = {}  # loss and gradients of the first side, by frames
    with tempfile.TemporaryDirectory() as folder:
        for frames, name, kind in cases:
            if time.monotonic() > until:
                tell(frames=frames, side=name, backend=kind, stopped="out of time")
                continue
            wanted = [] if kind == "default" else [getattr(SDPBackend, kind), SDPBackend.EFFICIENT_ATTENTION]
            try:
                model = built(config, nf4)
                side = Side(name, model, processor, frames, folder)
                with sdpa_kernel(wanted) if wanted else nullcontext():
                    loss, gradients = side.step(), side.gradients()
                    side.trainer.model.zero_grad()
                    if CUDA:
                        torch.cuda.synchronize()
                        torch.cuda.reset_peak_memory_stats()
                    seconds = timed(side.run, given.steps, until)
                first.setdefault(frames, (loss, gradients))
                of_loss, of_gradients = first[frames]
                work = needed_flops(config, side, name, frames)
                median = float(np.median(seconds))
                tell(
                    frames=frames,
                    tokens=side.tokens,
                    answers=side.answers,
                    side=name,
                    backend=kind,
                    seconds=round(median, 4),
                    spread=round(max(seconds) - min(seconds), 4),
                    peak_gb=round(torch.cuda.max_memory_allocated() / 1e9, 2) if CUDA else None,
                    estimate_gb=round(estimate(config, side, frames, nf4), 2),
                    tflop=round(work / 1e12, 4),
                    mfu=peak and round(work / median / peak, 3),
                    tokens_per_s=round(side.tokens / median),
                    loss=loss,
                    loss_off=abs(loss - of_loss) / abs(of_loss),
                    grad_off=float((gradients - of_gradients).norm() / of_gradients.norm()),
                )
            except torch.OutOfMemoryError as error:
                tell(frames=frames, side=name, backend=kind, out_of_memory=str(error)[:160])
            finally:
                model = side = gradients = None  # type: ignore[assignment]
                emptied()


if __name__ == "__main__":
    main()
