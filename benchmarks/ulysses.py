"""Rows computed by several processes together (`sequence_parallel`): are loss and gradients those of one process?

    PYTHONPATH=tests python benchmarks/ulysses.py [--out FILE] [--families internvl ...] [--sizes 2 4 2x2]
    PYTHONPATH=tests python benchmarks/ulysses.py --table FILE      # the table of benchmarks/rows.md
    python benchmarks/ulysses_gpu.py [--tiny]                       # a larger model, two processes on one GPU

Small random models of five families run in float32, in 2 and 4 processes on the CPU (gloo). They also run in 2 x 2:
two groups of two processes, each group with its own triplet. Every process computes a step of two triplets by itself,
then its part of the same step. Both parts of the loss (DPO and `sft`), policy and reference are there. A case is a
line:

    loss_off, grad_off   how far loss and gradients, the means over all processes, are from those of one, relative
    case                 plain, checkpointing, nf4, nf4+checkpointing; vision: adapters on the vision side, too; tiles:
                         MLPs some tokens at a time; adapter: the reference is the frozen copy of an adapter;
                         stretched: the frequencies of positions follow the length of a row
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import step_parts
import torch
from datasets import Dataset
from gpu_models import put_in_nf4
from peft import LoraConfig, get_peft_model
from support.families import FAMILIES
from torch import distributed, multiprocessing
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from longvpo.models.memory import Skeleton
from longvpo.models.rope import make_independent
from longvpo.recipe.training import LoraSection
from longvpo.training.adapter import pattern_of, vision_layers
from longvpo.training.arguments import training_arguments
from longvpo.training.collator import AnchoredCollator
from longvpo.training.step import tiles
from longvpo.training.step.trainer import AnchoredDPOTrainer

CASES = ("plain", "checkpointing", "nf4", "nf4+checkpointing", "vision", "tiles", "adapter", "stretched")
KINDS = ("qwen2_5_vl", "qwen3_vl")  # families with positions of three kinds, which are never stretched so
SECTION = {
    "beta": 0.3,
    "loss_type": ["sigmoid", "sft"],
    "loss_weights": [1.0, 0.7],
    "bf16": False,
    "use_cpu": True,
    "per_device_train_batch_size": 2,
    "save_strategy": "no",
}
ROWS = [step_parts.row(24), step_parts.row(8) | {"reference": "full", "chosen": "the red ball", "rejected": "a dog"}]


def trainer_of(name: str, case: str, folder: Path, together: int) -> AnchoredDPOTrainer:
    """A trainer whose adapter is not nothing, so that policy and reference differ."""
    model, processor = FAMILIES[name]()
    if case == "stretched":
        model = stretched(model.config)
    if "nf4" in case:
        for module in list(model.base_model.named_modules()):
            if module[0].endswith(("language_model", "text_model")):
                put_in_nf4(module[1])
        model.is_loaded_in_4bit = True
    places = LoraSection().target_modules
    if case == "vision":
        skeleton = Skeleton(model.config)
        places = f"(?:{places})|{pattern_of(vision_layers(skeleton, 'all'), skeleton)}"
    section = LoraSection(r=4, lora_alpha=8, target_modules=places)
    lora = LoraConfig(**section.of_peft(), task_type="CAUSAL_LM")
    trainer = AnchoredDPOTrainer(
        model=get_peft_model(model, lora) if case == "adapter" else model,
        args=training_arguments(SECTION | {"gradient_checkpointing": "checkpointing" in case}, folder),
        train_dataset=Dataset.from_list(ROWS),
        processing_class=processor,
        data_collator=AnchoredCollator(processor, step_parts.Noise()),
        peft_config=None if case == "adapter" else lora,
        sequence_parallel=together,
    )
    if "checkpointing" in case:
        trainer.model.get_base_model().gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    if case == "tiles":
        tiles.install(trainer.model.get_base_model(), 8)
    generator = torch.Generator().manual_seed(0)
    for key, parameter in trainer.model.named_parameters():  # the copy's weights are drawn again, too
        if "lora_B" in key:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    trainer.model.train()
    return trainer


def stretched(config: Any) -> Any:
    """A model whose positions are stretched dynamically above 64, as InternVL3's are above 32,768."""
    text = config.text_config
    text.max_position_embeddings = 64
    scaling = {"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 64}
    text.rope_parameters = {"rope_theta": 1e6} | scaling
    torch.manual_seed(0)
    model = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)](config)
    make_independent(model)
    return model


def cases_of(names: list[str], cases: list[str], together: int) -> list[tuple[str, str, int]]:
    """What `compared` is asked."""
    return [(name, case, together) for name in names for case in cases if case != "stretched" or name not in KINDS]


def step(trainer: AnchoredDPOTrainer, rows: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradients of these rows."""
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(rows))
    loss.backward()
    return loss.detach(), torch.cat([one.grad.flatten() for one in trainer.model.parameters() if one.grad is not None])


def compared(name: str, case: str, together: int) -> dict[str, Any]:
    """A step in groups of `together` processes, each with its share of the rows, against a step in this process."""
    with tempfile.TemporaryDirectory() as folder:
        expected = step(trainer_of(name, case, Path(folder), 1), ROWS)
        groups = distributed.get_world_size() // together
        mine = ROWS[distributed.get_rank() // together :: groups]
        found = step(trainer_of(name, case, Path(folder), together), mine)
    for mean in found:  # as DDP has it
        distributed.all_reduce(mean)
        mean /= distributed.get_world_size()
    off = [float((ours - one).norm() / one.norm()) for ours, one in zip(found, expected, strict=True)]
    return {
        "family": name,
        "case": case,
        "processes_a_row": together,
        "groups": groups,
        "loss": expected[0].item(),
        "loss_off": off[0],
        "grad_off": off[1],
    }


def work(rank: int, world: int, place: str, asked: list[tuple[str, str, int]], out: Path | None) -> None:
    """One of the processes."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "ACCELERATE_USE_CPU": "true"}
    distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=world)
    for name, case, together in asked:
        found = compared(name, case, together)
        if rank == 0:
            print(json.dumps(found), flush=True)
            if out:
                with out.open("a") as file:
                    file.write(json.dumps(found) + "\n")
    distributed.destroy_process_group()


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown: what loss / gradients are off in each case of each family, by how the processes share the work."""
    shares = sorted({(line["groups"], line["processes_a_row"]) for line in lines})
    named = [
        f"{together} processes" if groups == 1 else f"{groups} groups of {together}" for groups, together in shares
    ]
    rows = ["| family | case | " + " | ".join(named) + " |", "|---|---|" + "---:|" * len(shares)]
    found = {(line["family"], line["case"], line["groups"], line["processes_a_row"]): line for line in lines}
    for case in dict.fromkeys((line["family"], line["case"]) for line in lines):
        cells = [found.get((*case, *share)) for share in shares]
        told = [one and " / ".join(f"{one[name]:.1g}" for name in ("loss_off", "grad_off")) for one in cells]
        rows.append(f"| {case[0]} | {case[1]} | " + " | ".join(one or "not run" for one in told) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--cases", nargs="+", default=CASES)
    parser.add_argument("--sizes", nargs="+", default=["2", "4", "2x2"])
    parser.add_argument("--out", type=Path, help="a file that the lines are added to")
    parser.add_argument("--table", type=Path, help="print the table of such a file")
    given = parser.parse_args()
    if given.table:
        print(table([json.loads(line) for line in given.table.read_text().splitlines()]))
        return
    for size in given.sizes:
        together, groups = map(int, (size + "x1").split("x")[:2])
        asked = cases_of(given.families, given.cases, together)
        with tempfile.TemporaryDirectory() as folder:
            world = together * groups
            multiprocessing.spawn(work, (world, f"{folder}/store", asked, given.out), nprocs=world)


if __name__ == "__main__":
    main()
