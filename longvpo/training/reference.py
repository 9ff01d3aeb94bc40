"""The reference's log-probabilities before training: scored in one pass and kept, or brought by the dataset.

The numbers do not change while the policy is trained, so `reference_log_probs: precomputed` scores each triplet once.
They are kept in the cache of huggingface_hub (`assets/longvpo/reference`), under everything that decides them. Another
epoch, a restart, or another learning rate or beta finds them, and a pass that was killed resumes. A dataset that was
published with them, `reference_log_probs: dataset`, needs no pass at all.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from huggingface_hub import cached_assets_path
from tqdm import tqdm

from longvpo.io.files import text_hash
from longvpo.io.lines import append_lines, read_lines
from longvpo.models.plain_text import described
from longvpo.training.rows import SCORES
from longvpo.training.step.trainer import AnchoredDPOTrainer


def score_reference(trainer: AnchoredDPOTrainer, rows: Dataset) -> Dataset:
    """The rows with the reference's log-probabilities of chosen and of rejected, as two columns more.

    Each triplet is scored by itself. So its numbers do not depend on other triplets, on the number of processes, or on
    where an earlier pass ended. Machines without a shared cache tell each other what their cache has, by the places of
    rows. They cannot use a row's key, which has times of files that may differ there. In the end each cache has all.
    """
    folder = cached_assets_path("longvpo", namespace="reference", subfolder=_model_key(trainer))
    keys = [_row_key(trainer, row) for row in rows]
    accelerator = trainer.accelerator
    kept = _told_by_all(_kept(folder, keys))
    missing = [index for index in range(len(rows)) if index not in kept]
    mine = {}
    first = trainer.group is None or trainer.group.rank == 0  # in the group that computes a row together
    for index, found in _score_rows(trainer, rows, missing[accelerator.process_index :: accelerator.num_processes]):
        mine[index] = found
        if first:
            append_lines(folder / f"{accelerator.process_index}.jsonl", [[keys[index], *found]])
    kept |= _told_by_all(mine)
    if accelerator.is_local_main_process:
        here = _kept(folder, keys)
        lines = {keys[index]: kept[index] for index in range(len(rows)) if index not in here}
        append_lines(folder / f"{accelerator.process_index}.jsonl", ([key, *found] for key, found in lines.items()))
    for place, name in enumerate(SCORES):
        rows = rows.add_column(name, [kept[index][place] for index in range(len(rows))])
    return rows


Scores = dict[int, tuple[float, float]]  # by the place of a row


def _kept(folder: Path, keys: list[str]) -> Scores:
    """The numbers of the rows that the folder has."""
    lines = (line for line in read_lines(folder) if isinstance(line, list) and len(line) == 3)  # no others are ours
    found = {key: (first, second) for key, first, second in lines}
    return {index: found[key] for index, key in enumerate(keys) if key in found}


def _told_by_all(mine: Scores) -> Scores:
    """What all processes have; where two have the same row, the first one counts, in all of them."""
    return {index: found for one in reversed(gather_object([mine])) for index, found in one.items()}


def _score_rows(
    trainer: AnchoredDPOTrainer, rows: Dataset, chosen: list[int]
) -> Iterator[tuple[int, tuple[float, float]]]:
    """The place and the two numbers of each of these rows."""
    loader = torch.utils.data.DataLoader(
        rows.select(chosen),
        collate_fn=trainer.data_collator.reference,
        num_workers=trainer.args.dataloader_num_workers,
        generator=torch.Generator(),  # the sampler's own, and training's, must not notice
    )
    quiet = not trainer.accelerator.is_main_process or not chosen
    training = trainer.model.training
    trainer.model.train()  # in evaluation, bitsandbytes packs NF4 on some CPUs for good, so that no gradient passes
    for index, batch in zip(chosen, tqdm(loader, desc="reference", disable=quiet, file=sys.stderr), strict=True):
        batch = trainer.with_features(trainer._prepare_inputs(batch))
        first, second = trainer.compute_ref_log_probs(trainer.frozen, batch)
        yield index, (first.item(), second.item())
    trainer.model.train(training)


def _model_key(trainer: AnchoredDPOTrainer) -> str:
    """Changes with the frozen weights, the precision, and how a question and frames become inputs."""
    digest = hashlib.sha256()
    for name, parameter in sorted(trainer.model.named_parameters()):
        if not parameter.requires_grad:
            digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
            digest.update(parameter.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    processor, collator = trainer.data_collator.processor, trainer.data_collator
    apart = {"cache_gb", "frames", "frames_gb", "frames_quality"}  # which pictures these make, a row's key says
    section = collator.frames_of.section.model_dump(mode="json", exclude=apart)
    settings = [trainer.args.bf16, trainer.args.fp16, trainer.ld_alpha, section, collator.frame_budget]
    digest.update(json.dumps([settings, *described(processor)]).encode())
    return digest.hexdigest()[:32]


def _row_key(trainer: AnchoredDPOTrainer, row: dict[str, Any]) -> str:
    """Changes with the row and with the content of its frames."""
    content = [row, [trainer.data_collator.frames_of.content(clip) for clip in row["context"]]]
    return text_hash(json.dumps(content, sort_keys=True))[:32]
