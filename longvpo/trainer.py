"""TRL's DPOTrainer for video, with the reference scored on what each triplet's row says, such as the anchor clip.

The loss (paper, sections 3.3 to 3.5), with x the whole context, a what the reference sees, and alpha the weight of
`sft` in TRL's loss_weights:

    -log sigmoid(beta * [log pi(y+|x) / ref(y+|a) - log pi(y-|x) / ref(y-|a)])  -  alpha * log pi(y+|x) / |y+|
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from trl import DPOTrainer

from longvpo.errors import LongVPOError
from longvpo.model import LANGUAGE, to_model


class AnchoredDPOTrainer(DPOTrainer):
    """DPOTrainer for video whose reference log-probabilities come from a batch of their own, `reference`.

    It takes AnchoredCollator's batches, and a base with `peft_config`, which is the reference, or a PeftModel, whose
    adapter TRL copies as "ref": the copy is the reference, and stays as it is. TRL's losses, metrics and adapter
    handling stay; three things differ:

    - The reference is scored on `reference`, where the batch has one, not on what the policy sees.
    - The frozen vision side encodes each triplet's video once, without gradients, for both answers.
    - `sft` in `loss_type` is the mean over triplets of the chosen answer's mean token loss, as the paper has it;
      TRL takes the mean over all tokens of the batch.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.args.precompute_ref_log_probs or self.args.sync_ref_model:
            raise LongVPOError(
                "training.precompute_ref_log_probs and training.sync_ref_model do not work with a reference that is "
                "scored on inputs of its own: remove them"
            )
        self.precompute_ref_logps = True  # TRL's loss reads the reference's log-probs from the batch
        self._is_vision_dataset = True  # evaluate() leaves the rows to the collator
        weights = dict(zip(self.loss_types, self.loss_weights, strict=True))
        self.nll_weight: float = weights.pop("sft", 0.0)
        self.loss_types: list[str] = list(weights)
        self.loss_weights: list[float] = list(weights.values())
        parameters = dict(self.model.named_parameters())
        for name, parameter in parameters.items():
            if not parameter.requires_grad:
                continue
            if not any(f".{part}." in name for part in LANGUAGE):
                raise LongVPOError(
                    f"{name} would be trained, but the vision side is computed once, without gradients: "
                    "set lora.target_modules to modules of the language model, or choose an adapter of these alone"
                )
            # TRL casts adapters of quantised models to bfloat16, whose rounding swallows updates of DPO's size; of an
            # adapter that goes on it loses what was trained, which its frozen copy still has
            frozen = parameters.get(name.replace(".default.", ".ref."))
            parameter.data = parameter.data.float() if frozen is None else frozen.data.clone()

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # rows are rendered by the collator

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """One writer of the README: not TRL."""

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        batch = dict(inputs)
        reference = batch.pop("reference", None)
        batch = self.with_features(batch)
        scored_by = self.ref_model if self.ref_model is not None else self.model
        batch["ref_chosen_logps"], batch["ref_rejected_logps"] = self.compute_ref_log_probs(
            scored_by, batch if reference is None else self.with_features(reference)
        )
        forward = _Remember(model)
        result = super().compute_loss(forward, batch, return_outputs, num_items_in_batch)
        if not self.nll_weight:
            return result
        loss, *outputs = result if return_outputs else (result,)
        loss = loss + self.nll_weight * self._nll(forward.outputs[0], batch["completion_mask"])
        return (loss, *outputs) if return_outputs else loss

    def _nll(self, outputs: Any, completion_mask: torch.Tensor) -> torch.Tensor:
        """Mean over triplets of -log pi(chosen) / tokens of chosen."""
        mask = completion_mask.chunk(2)[0][:, 1:]
        log_probs = outputs.log_probs[:, -mask.shape[1] :].chunk(2)[0]
        nll = (-(log_probs * mask).sum(1) / mask.sum(1)).mean()
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["nll_loss"].append(self.accelerator.gather(nll.detach()).mean().item())
        return nll

    def with_features(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch with `vision` encoded: features once a triplet, laid out for chosen and for rejected."""
        batch = dict(batch)
        model = self.accelerator.unwrap_model(self.model)
        core = model.get_base_model() if isinstance(model, PeftModel) else model
        features, kind = [], "image"
        with torch.no_grad(), self.accelerator.autocast():
            for pixels in batch.pop("vision"):
                pixels = to_model(pixels, core)
                if "pixel_values_videos" in pixels:
                    kind, encoded = "video", core.get_video_features(**pixels, return_dict=True)
                else:
                    encoded = core.get_image_features(**pixels, return_dict=True)
                features.append(encoded.pooler_output.flatten(0, 1))
        both = torch.cat([*features, *features])[None]
        batch["mm_encoder_outputs"] = {kind: BaseModelOutputWithPooling(pooler_output=both)}
        return batch


class _Remember:
    """Calls the model and keeps what it returned: TRL's loss does not hand it out."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.outputs: list[Any] = []

    def __call__(self, **inputs: Any) -> Any:
        self.outputs.append(self.model(**inputs))
        return self.outputs[-1]
