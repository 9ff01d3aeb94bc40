"""TRL's DPOTrainer for video, with the reference scored on what each triplet's row says, such as the anchor clip.

The loss (paper, sections 3.3 to 3.5): x is the whole context, and a is what the reference sees. alpha is the weight of
`sft` in TRL's loss_weights.

    -log sigmoid(beta * [log pi(y+|x) / ref(y+|a) - log pi(y-|x) / ref(y-|a)])  -  alpha * log pi(y+|x) / |y+|
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer

from longvpo.errors import LongVPOError
from longvpo.models.features import Features
from longvpo.models.load import is_language
from longvpo.training.adapter import check_kept_features
from longvpo.training.dealing import Dealer
from longvpo.training.groups import group_of, grouped
from longvpo.training.step import packing, scoring
from longvpo.training.step.evaluating import EvaluatingDPOTrainer
from longvpo.training.step.packing import Encoded, Forward
from longvpo.training.step.phases import phase
from longvpo.training.step.vision import Vision


class AnchoredDPOTrainer(EvaluatingDPOTrainer):
    """DPOTrainer for video whose reference log-probabilities come from a batch of their own, `reference`.

    It takes AnchoredCollator's batches, and a base with `peft_config` or a PeftModel. With `peft_config`, the base is
    the reference. TRL copies a PeftModel's adapter as "ref": that copy is the reference, and does not change. TRL's
    losses, metrics and adapter handling stay; these things differ:

    - The reference is scored on `reference`, where the batch has one, not on what the policy sees. A batch that brings
      `ref_chosen_logps` and `ref_rejected_logps` is not scored at all.
    - Both answers share one computation of their prompt (packing.py); where a model cannot do that, one warning says
      so. Only tokens of answers are scored.
    - The vision side encodes each triplet's video once, for both answers (vision.py): without gradients where it is
      frozen. Where it has adapters, policy and reference each encode with their own, the policy with gradients.
    - `sft` in `loss_type` is the mean over triplets of the chosen answer's mean token loss, as in the paper. TRL takes
    the mean over all tokens of the batch.

    Args:
        vision_cache_gb: memory for the vision features of clips.
        longest: the rows of micro-batches that need most memory. They are computed before the first step, without
            taking one, so that a run that would end for want of memory ends at once.
        costs: what each row of the dataset costs, by which they are dealt to processes and micro-batches (dealing.py);
            None: they come as they are drawn.
        sequence_parallel: how many processes compute each row together (ulysses.py). The number of processes is a
            multiple of it.
    """

    _dealer: Dealer | None = None

    def __init__(
        self,
        *args: Any,
        vision_cache_gb: float = 0.0,
        longest: Sequence[list[dict[str, Any]]] = (),
        costs: Sequence[float] | None = None,
        sequence_parallel: int = 1,
        **kwargs: Any,
    ) -> None:
        self.longest, self.costs, self.sequence_parallel = list(longest), costs, sequence_parallel
        super().__init__(*args, **kwargs)
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
            # TRL casts adapters of quantised models to bfloat16, whose rounding swallows updates of DPO's size. An
            # adapter that training starts from loses what it learnt, which its frozen copy still has
            frozen = parameters.get(name.replace(".default.", ".ref."))
            parameter.data = parameter.data.float() if frozen is None else frozen.data.clone()
        core = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        self.vision = Vision(core, self.data_collator.processor, vision_cache_gb)
        self.trains_vision = any(one.requires_grad and not is_language(name) for name, one in parameters.items())
        check_kept_features((name for name, one in parameters.items() if one.requires_grad), vision_cache_gb)
        self._check_vision()
        scoring.install(core)
        self.group = group_of(self.args, sequence_parallel)
        why_not = packing.install(core, self.group)
        if self.args.bf16 or self.args.fp16:  # autocast makes them of the inputs what a copy in float32 would become
            for layer in self.model.modules():
                if isinstance(layer, BaseTunerLayer):
                    layer.cast_input_dtype_enabled = False
        self.packed = why_not is None
        if why_not and self.group is not None:
            raise LongVPOError(
                f"sequence_parallel cannot be had of {type(core).__name__}, because {why_not}: set it to 1"
            )
        if why_not:
            warnings.warn(
                f"the prompt is computed twice, for chosen and for rejected: {type(core).__name__} cannot share it, "
                f"because {why_not}",
                stacklevel=2,
            )

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset  # rows are rendered by the collator

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if self.sequence_parallel > 1:
            grouped(self.accelerator, self.sequence_parallel)

    def get_total_train_batch_size(self, args: Any) -> int:
        """Triplets per step."""
        return int(super().get_total_train_batch_size(args)) // self.sequence_parallel

    @property
    def deals(self) -> bool:
        """Whether rows are dealt: not where they have no costs, or one micro-batch is all of a step."""
        batches = self.accelerator.num_processes * self.args.gradient_accumulation_steps
        return self.costs is not None and batches > 1 and self.args.train_sampling_strategy == "random"

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.costs is None or not self.deals:
            return super()._get_train_sampler(train_dataset)
        sizes = self.accelerator.num_processes, self.args.train_batch_size, self.args.gradient_accumulation_steps
        self._dealer = Dealer(self.train_dataset, self.costs, *sizes, self.args.data_seed)
        return self._dealer

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """One writer of the README: not TRL."""

    def _run_epoch(self, model: Any, epoch: int, *args: Any, **kwargs: Any) -> None:
        """Trainer would take one step more where a run was killed after the checkpoint of its last step."""
        if self._dealer is not None:  # where steps are skipped, accelerate and Trainer do not reach it
            self._dealer.set_epoch(epoch)
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(model, epoch, *args, **kwargs)

    def training_step(self, model: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        # not under DeepSpeed, whose backward pass counts as a step
        for rows in [] if self.is_deepspeed_enabled else self.longest:
            self._rehearse(model, rows)
        self.longest = []
        step: torch.Tensor = super().training_step(model, *args, **kwargs)
        return step

    def _rehearse(self, model: Any, rows: list[dict[str, Any]]) -> None:
        """A batch of these rows, forward and backward, beside room for the optimizer, with nothing left of it."""
        model.train()
        tokens = self._total_train_tokens, self._tokens
        trained = [one for one in model.parameters() if one.requires_grad]
        try:
            with torch.random.fork_rng(), self.maybe_activation_offload_context:
                moments = [torch.empty_like(one) for one in trained for _ in range(2)]  # AdamW's, after the first step
                batch = self._prepare_inputs(self.data_collator(rows))
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, batch)
                self.accelerator.backward(loss)
                del moments
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            batched = "" if self.args.per_device_train_batch_size == 1 else "training.per_device_train_batch_size=1, "
            named = f"{rows[0]['prompt']!r} over {len(rows[0]['context'])} clips"
            raise LongVPOError(
                f"out of memory on the longest triplet, {named}: set {batched}"
                "training.gradient_checkpointing=true or a smaller frame_budget"
            ) from error
        model.zero_grad()
        self._metrics["train"].clear()
        self._total_train_tokens, self._tokens = tokens

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        batch = dict(inputs)
        reference = batch.pop("reference", None)
        batch = self.with_features(batch)
        if "ref_chosen_logps" not in batch:
            shown = batch if reference is None else self.with_features(reference, inputs["clips"], batch["features"])
            with phase("reference"):
                batch["ref_chosen_logps"], batch["ref_rejected_logps"] = self.compute_ref_log_probs(self.frozen, shown)
        self.watch(batch, self.packed)
        forward = Forward(model, self.vision, self.packed, self.group, squares=self.use_weighting)
        with phase("prompt"):
            result = super().compute_loss(forward, batch, return_outputs, num_items_in_batch)
        if not self.nll_weight:
            return result
        loss, *outputs = result if return_outputs else (result,)
        loss = loss + self.nll_weight * self._nll(forward.outputs.log_probs, batch["completion_mask"])
        return (loss, *outputs) if return_outputs else loss

    @property
    def _total_train_tokens(self) -> int:
        """TRL's count for `num_tokens`. It lies in the state, so that a resumed run continues to count."""
        return int(self.state.num_input_tokens_seen)

    @_total_train_tokens.setter
    def _total_train_tokens(self, count: int) -> None:
        self.state.num_input_tokens_seen = count

    @property
    def frozen(self) -> Any:
        """The model that is the reference; a policy with an adapter is its own, without it or with the frozen one."""
        return self.ref_model if self.ref_model is not None else self.model

    def compute_ref_log_probs(self, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """The frozen reference's log-probabilities of chosen and rejected, each (n,), on a batch with features."""
        chosen, rejected = super().compute_ref_log_probs(
            Forward(model, self.vision, self.packed, self.group, statistics=False), inputs
        )
        return chosen, rejected

    def _nll(self, log_probs: torch.Tensor, completion_mask: torch.Tensor) -> torch.Tensor:
        """Mean over triplets of -log pi(chosen) / tokens of chosen."""
        tokens = completion_mask.chunk(2)[0].sum(1)
        each = -log_probs.chunk(2)[0].sum(1) / tokens
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["nll_loss"].append(self.accelerator.gather(each.detach()).mean().item())
        return each.mean()

    def with_features(
        self, batch: dict[str, Any], known_clips: Sequence[Any] = (), known: Sequence[Encoded] = ()
    ) -> dict[str, Any]:
        """The batch with `vision` encoded, once per triplet, and with the positions of models that have M-RoPE.

        Args:
            known_clips, known: `clips` and `features` of another batch of the same triplets; a video of the same clips
                is not encoded again.
        """
        batch = dict(batch)
        vision, clips = batch.pop("vision"), batch.pop("clips")
        videos = zip_longest(vision, clips, batch["input_ids"][: len(clips)], known_clips, known)
        batch["features"] = [
            features if of == others else self._features(pixels, of, tokens)
            for pixels, of, tokens, others, features in videos
        ]
        batch["position_ids"] = self.vision.positions(batch, vision)
        batch.pop("mm_token_type_ids", None)
        return batch

    def _features(self, *video: Any) -> Encoded:
        """What Vision.encode makes of a video. Where the vision side has adapters, it is made when a model is called:
        that decides the adapter, and whether there are gradients."""

        def encode() -> Features:
            with phase("vision"), self.accelerator.autocast():
                return self.vision.encode(*video)

        if self.trains_vision:
            return encode
        with torch.no_grad():
            return encode()

    def _check_vision(self) -> None:
        """Raises LongVPOError when the vision side has adapters, and FSDP takes it for frozen."""
        if self.trains_vision and self.is_fsdp_enabled:
            raise LongVPOError(
                "FSDP keeps the vision side whole in every process, and its adapters would drift apart: set "
                "lora.vision=none, or use recipes/accelerate/ddp.yaml"
            )
