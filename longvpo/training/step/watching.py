"""What a run says of itself while it trains: more in each log entry, and a bar."""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from accelerate.utils import gather
from transformers import ProgressCallback
from trl import DPOTrainer

from longvpo.training.step.phases import phase

SHOWN = {"loss": "loss", "nll_loss": "nll", "rewards/margins": "margin", "rewards/accuracies": "accuracy"}


class WatchedDPOTrainer(DPOTrainer):
    """DPOTrainer whose log entries say more than TRL's. Every figure is of all processes.

    - `reference/margins`: mean over triplets of log ref(chosen) - log ref(rejected), in nats, on what the reference
      sees, such as the anchor. It says how far the reference itself prefers the chosen answer. TRL's `rewards/margins`
      is how far the policy has moved from it, times beta. - `tokens_per_second`: tokens of the policy's rows, without
      padding, in the wall time since the last entry, with all that happened in it. A prompt that both answers share
      counts once; the reference's tokens do not count. - `memory_gb`: the most, in 10^9 bytes, that tensors took on
      one GPU since the start; on a CPU, that one process took.
    """

    waited = 0.0  # seconds for batches, since the start
    _tokens: int | torch.Tensor = 0  # tokens of this process, since the last entry
    _logged: float | None = None  # when the last entry was written, in seconds since 1970

    def watch(self, batch: dict[str, torch.Tensor], shared: bool) -> None:
        """Note a batch that is about to be trained on.

        Args:
            batch: AnchoredCollator's, with ref_chosen_logps and ref_rejected_logps.
            shared: whether both answers share one computation of their prompt.
        """
        mode = "train" if self.model.training else "eval"
        margins = self.accelerator.gather(batch["ref_chosen_logps"] - batch["ref_rejected_logps"])
        self._metrics[mode]["reference/margins"].append(margins.mean().item())
        if mode == "train":
            # packing.py: the last token of the prompt stands before each answer, and no answer's end is an input
            again = batch["attention_mask"] - batch["completion_mask"]
            saved = again.chunk(2)[0].sum() + len(batch["ref_chosen_logps"]) if shared else 0
            self._tokens = self._tokens + batch["attention_mask"].sum() - saved

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """The micro-batches of a step; that is when a device waits for video."""
        began = time.monotonic()
        with phase("data"):
            found = super().get_batch_samples(*args, **kwargs)
        self.waited += time.monotonic() - began
        return found

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:  # not the summary at the end, nor an evaluation's
            now = time.time()
            device = self.accelerator.device
            tokens = self.accelerator.gather(torch.tensor([self._tokens], device=device))
            memory = gather(torch.tensor([peak_memory()], device=device))  # also over processes that share rows
            began = self._logged or start_time or now
            logs["tokens_per_second"] = float(f"{tokens.sum().item() / max(now - began, 1e-9):.4g}")
            logs["memory_gb"] = float(f"{memory.max().item():.4g}")
            self._tokens, self._logged = 0, now
        super().log(logs, start_time)


def peak_memory() -> float:
    """The peak of this process, in 10^9 bytes: that of tensors on its GPU, or else of all that it holds."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    import resource  # not on Windows, where the rest of longvpo imports

    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


class Progress(ProgressCallback):
    """The training bar, with the last logged values beside it; Trainer's own prints them to stdout, line by line."""

    begun = False  # whether a step was taken

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.begun = True
        super().on_step_end(*args, **kwargs)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        shown = {short: round(logs[name], 3) for name, short in SHOWN.items() if logs and name in logs}
        if state.is_world_process_zero and self.training_bar is not None and shown:
            self.training_bar.set_postfix(shown)

    def close(self) -> None:
        """End the bar of a run that fails: what is said next begins a line of its own."""
        if self.training_bar is not None:
            self.training_bar.close()
