"""Checkpoints of a run that may be killed at any moment: it resumes only from one that was written whole.

Trainer writes a checkpoint into its place, file by file and process by process, and takes the highest number for the
last. So a checkpoint gets a mark when all of it is written, and loses the mark before it is deleted. The mark holds
the hashes of its files: a checkpoint that is damaged since then is passed over for the one before.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainingArguments

from longvpo.errors import LongVPOError, say
from longvpo.io.disk import check_room
from longvpo.io.files import WHOLE, as_json, file_hash, read_json, whole_checkpoints, write_text

KEY = "key"


class Checkpoints(TrainerCallback):
    """Marks every checkpoint, and deletes older ones, but not the best.

    Args:
        limit: how many are kept beside the best; None: all. Trainer's own limit would delete before the new one has
            its mark.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        args.distributed_state.wait_for_everyone()
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir)
        mark_whole(folder / f"checkpoint-{state.global_step}")
        best = best_of(folder / f"checkpoint-{state.global_step}")
        for old in whole_checkpoints(folder)[: -self.limit] if self.limit else []:
            if old != best:
                (old / WHOLE).unlink()
                shutil.rmtree(old)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A resumed run finds the best one, where the folder has another path now."""
        best = Path(args.output_dir) / f"checkpoint-{state.best_global_step}"
        state.best_model_checkpoint = str(best) if best.is_dir() else None


def at_step(folder: Path, step: int) -> bool:
    """Whether the last whole checkpoint is of this step."""
    return [path.name for path in whole_checkpoints(folder)[-1:]] == [f"checkpoint-{step}"]


def mark_whole(checkpoint: Path) -> None:
    write_text(checkpoint / WHOLE, as_json(_hashes(checkpoint)))


def damage(checkpoint: Path) -> str | None:
    """The file in which a marked checkpoint is not what it was when it was marked."""
    try:
        marked, found = read_json(checkpoint / WHOLE), _hashes(checkpoint)
    except (LongVPOError, OSError):
        return WHOLE
    if not isinstance(marked, dict):
        return WHOLE
    return next((name for name in sorted(marked) if found.get(name) != marked[name]), None)


def best_of(checkpoint: Path) -> Path | None:
    """The best checkpoint when this one was written, where evaluations told that and it was there."""
    best = read_json(checkpoint / "trainer_state.json").get("best_model_checkpoint")
    return checkpoint.with_name(Path(best).name) if best else None


def unusable(checkpoint: Path) -> str | None:
    """The file that keeps a run from resuming from a marked checkpoint: one of its own, or of the best one's."""
    file = damage(checkpoint)
    best = None if file else best_of(checkpoint)
    if best is None or best == checkpoint:
        return file
    file = damage(best)
    return f"{best.name}/{file}" if file else None


def _hashes(checkpoint: Path) -> dict[str, str]:
    """sha256 of each file, by its path."""
    paths = [path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path.name != WHOLE]
    return {str(path.relative_to(checkpoint)): file_hash(path) for path in paths}


def last_checkpoint(folder: Path, key: str, processes: PartialState) -> Path | None:
    """The checkpoint to resume from. Those that a kill left half-written, or that are damaged, are deleted.

    Args:
        key: changes with everything that decides the result.

    Raises:
        LongVPOError: the folder holds checkpoints of another run.
    """
    mark, whole = folder / KEY, whole_checkpoints(folder)
    if mark.is_file() and mark.read_text(encoding="utf-8") != key and whole:
        raise LongVPOError(
            f"{folder} holds a run of another recipe, dataset or starting adapter, or one in another number of "
            "processes: delete it, or give another --output"
        )
    if not mark.is_file() and any(folder.glob("checkpoint-*")):
        raise LongVPOError(f"{folder} holds checkpoints that are not longvpo's: give another --output, or move them")
    processes.wait_for_everyone()  # until all have looked
    if processes.is_main_process:
        while whole and (file := unusable(whole[-1])):
            before = f"training resumes from {whole[-2].name}" if whole[1:] else "training starts anew"
            say(f"{whole.pop()} is damaged, in {file}: {before}")
        for path in set(folder.glob("checkpoint-*")) - set(whole):
            (path / WHOLE).unlink(missing_ok=True)
            shutil.rmtree(path)
        write_text(mark, key)
    (last,) = broadcast_object_list([whole[-1] if whole else None])
    return last


def check_disk(trainer: Any, folder: Path, limit: int | None) -> None:
    """Raises LongVPOError when the folder has no room for what a run writes: its checkpoints and the result.

    Args:
        limit: how many checkpoints are kept, if there are any.
    """
    arguments: TrainingArguments = trainer.args
    if not arguments.should_save:
        return
    weights = sum(one.nbytes for one in trainer.model.parameters() if one.requires_grad)
    words = getattr(getattr(trainer.processing_class, "tokenizer", None), "backend_tokenizer", None)
    result = weights + (len(words.to_str()) if words else 0)
    moments = 2 if "adam" in arguments.optim else 0
    state = moments * weights // (4 if "8bit" in arguments.optim else 1)
    saves = arguments.save_strategy != "no"
    kept = (limit or 1) + (arguments.metric_for_best_model is not None)  # the best one, too
    more = max(kept + 1 - len(whole_checkpoints(folder)), 1) if saves else 0  # a new one, then the oldest goes
    check_room(folder, result + more * (result + state), "training writes at least")


@contextmanager
def kept_if_whole(folder: Path, processes: PartialState) -> Iterator[None]:
    """A run that fails before its first checkpoint leaves no folder behind: there is nothing to resume from."""
    try:
        yield
    except BaseException:
        ours = (folder / KEY).is_file() or (folder.is_dir() and not any(folder.iterdir()))
        if processes.is_main_process and ours and not whole_checkpoints(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def delete_checkpoints(folder: Path, key: str) -> None:
    """Delete the checkpoints of a finished run, when they are its own."""
    if (folder / KEY).is_file() and (folder / KEY).read_text(encoding="utf-8") == key:
        shutil.rmtree(folder, ignore_errors=True)
