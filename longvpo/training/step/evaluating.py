"""Evaluation during a training: TRL's evaluation, in which each triplet counts once. Training then continues.

The log gains `eval_loss`, `eval_rewards/accuracies`, `eval_rewards/margins`, `eval_reference/margins` and more. The
accuracies are the share of triplets in which the policy moved more towards the chosen answer.
"""

from __future__ import annotations

from typing import Any

import torch

from longvpo.training.step.watching import WatchedDPOTrainer


class EvaluatingDPOTrainer(WatchedDPOTrainer):
    """WatchedDPOTrainer that evaluates on AnchoredCollator's batches."""

    def prediction_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        for module in model.modules():
            if hasattr(module, "quant_state"):  # in evaluation, bitsandbytes packs NF4 on some CPUs for good
                module.train()
        metrics = self._metrics["eval"]
        before = {name: len(values) for name, values in metrics.items()}
        triplets = len(inputs["input_ids"]) // 2
        state, gather = self.accelerator.gradient_state, self.accelerator.gather
        # accelerate fills up the last batches, so that all processes have as many: those triplets were there before
        short = state.remainder if state.end_of_dataloader and state.remainder > 0 else None
        together = triplets * self.accelerator.num_processes if short is None else short

        def without_fillers(values: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = gather(values)
            return found if len(values.shape) == 0 or len(values) != triplets else found[:together]

        self.accelerator.gather = without_fillers
        try:
            found = super().prediction_step(model, inputs, *args, **kwargs)
        finally:
            self.accelerator.gather = gather
        for name, values in metrics.items():  # TRL takes their mean: each counts as often as it has triplets
            values += values[before.get(name, 0) :] * (together - 1)
        return found

    def _load_best_model(self) -> None:
        """PEFT takes what it loads for frozen."""
        trained = [one for one in self.model.parameters() if one.requires_grad]
        super()._load_best_model()
        for one in trained:
            one.requires_grad_(True)
