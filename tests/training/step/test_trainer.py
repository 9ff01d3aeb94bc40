"""Around a step: what comes before the first one, what a batch is checked for, what is kept between steps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from support.families import FAMILIES
from support.trainers import difference, make_trainer, step

from longvpo.errors import LongVPOError
from longvpo.training.step.trainer import AnchoredDPOTrainer
from longvpo.training.step.vision import Vision


def whole(trainer: Any, rows: list[dict[str, Any]]) -> list[torch.Tensor]:
    """The features of the rows' contexts."""
    collated = trainer.data_collator(rows)
    return [one.rows for one in trainer.with_features(collated)["features"]]


@pytest.mark.parametrize("name", FAMILIES)
def test_kept_features_are_those_of_the_whole_video(
    name: str, batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    plain = make_trainer(name, batch, world, tmp_path)
    keeping = make_trainer(name, batch, world, tmp_path, vision_cache_gb=0.1)
    loss, gradients, _ = step(plain, batch, packed=True)
    kept_loss, kept_gradients, _ = step(keeping, batch, packed=True)
    assert kept_loss == pytest.approx(loss, rel=1e-5)
    assert difference(kept_gradients, gradients) < 1e-5
    clips = {(clip["video"], clip["start"]) for row in batch for clip in row["context"]}
    assert keeping.vision.misses == len(clips)
    # again, from what is kept: the same to the last bit, and the tower rests
    again, again_gradients, _ = step(keeping, batch, packed=True)
    assert again == kept_loss
    assert difference(again_gradients, kept_gradients) == 0
    assert keeping.vision.misses == len(clips)
    assert keeping.vision.hits > len(clips)


def test_kept_features_stay_within_their_memory(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = make_trainer("internvl", batch, world, tmp_path, vision_cache_gb=2 * 4 * 64 * 4 / 1e9)  # two clips
    expected = whole(make_trainer("internvl", batch, world, tmp_path), batch)
    for _ in range(2):
        for found, features in zip(whole(keeping, batch), expected, strict=True):
            torch.testing.assert_close(found, features, rtol=1e-5, atol=1e-6)
        assert keeping.vision._kept._bytes <= keeping.vision.limit
        assert len(keeping.vision._kept) == 2
    assert keeping.vision.misses > 7


def test_frames_that_are_merged_over_the_edge_of_a_clip_are_encoded_whole(batch: list[dict[str, Any]]) -> None:
    model, processor = FAMILIES["qwen2_5_vl"]()
    vision = Vision(model, processor, cache_gb=1.0)
    pixels = {"video_grid_thw": torch.tensor([[4, 2, 2]]), "pixel_values_videos": torch.zeros(16, 3 * 2 * 14 * 14)}
    assert vision._by_clip(pixels, [(("a",), 3), (("b",), 5)]) is None
    parts = vision._by_clip(pixels, [(("a",), 2), (("b",), 6)])
    assert parts is not None
    assert [len(part["pixel_values_videos"]) for part in parts] == [4, 12]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_that_lost_its_video_is_an_error(
    name: str, batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    """As when the processor's token for video is not the model's."""
    trainer = make_trainer(name, batch, world, tmp_path)
    collated = trainer.data_collator(batch)
    config, ids = trainer.vision.core.config, collated["input_ids"][0]
    marks = [getattr(config, name) for name in ("image_token_id", "video_token_id") if hasattr(config, name)]
    ids[torch.isin(ids, torch.tensor(marks)).nonzero()[0]] = 7
    with pytest.raises(
        LongVPOError, match=r"a prompt has places for \d+ video tokens, but its video of 16 frames has"
    ):
        trainer.with_features(collated)


def test_the_longest_row_comes_first_and_leaves_no_trace(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_loss, seen = AnchoredDPOTrainer.compute_loss, []

    def noted(self: Any, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        seen.append([len(clips) for clips in inputs["clips"]])
        return compute_loss(self, model, inputs, *args, **kwargs)

    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", noted)
    outcomes = []
    for longest in ([], [[batch[0]] * 3]):
        trainer = make_trainer("internvl", batch, world, tmp_path, max_steps=2, logging_steps=1, learning_rate=1e-2)
        trainer.longest = longest
        trainer.train()
        logged = [
            {name: value for name, value in entry.items() if not name.endswith(("runtime", "second", "_gb"))}
            for entry in trainer.state.log_history
        ]
        outcomes.append(({key: p.detach() for key, p in trainer.model.named_parameters() if p.requires_grad}, logged))
    assert len(seen) == 2 + 3
    assert seen[2] == [4, 4, 4], "a full batch of the longest"
    (weights, log), (others, other_log) = outcomes
    assert all(torch.equal(value, others[key]) for key, value in weights.items())
    assert log == other_log


def test_too_little_memory_names_the_longest_row(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_loss = AnchoredDPOTrainer.compute_loss

    def greedy(self: Any, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        torch.empty(2**50)  # what no machine has, as the allocator itself says it
        return compute_loss(self, model, inputs, *args, **kwargs)

    trainer = make_trainer("internvl", batch, world, tmp_path, max_steps=2)
    trainer.longest = [[batch[0]]]
    monkeypatch.setattr(AnchoredDPOTrainer, "compute_loss", greedy)
    advice = r"per_device_train_batch_size=1, training\.gradient_checkpointing=true or a smaller frame_budget"
    with pytest.raises(LongVPOError, match=rf"longest triplet, '{batch[0]['prompt'][:-1]}.*over 4 clips: .*{advice}"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_triplet_above_the_token_budget_is_an_error(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    trainer = make_trainer("internvl", batch, world, tmp_path)
    tokens = []
    for row in batch:
        collated = trainer.data_collator([row])
        chosen, rejected = collated["completion_mask"].sum(1).tolist()
        tokens.append(int(collated["attention_mask"][0].sum()) + rejected)
        assert chosen
    trainer.data_collator.token_budget = max(tokens)
    trainer.data_collator(batch)
    trainer.data_collator.token_budget = max(tokens) - 1
    with pytest.raises(LongVPOError, match=rf"of 16 frames, has {max(tokens)} tokens, above the token_budget"):
        trainer.data_collator(batch)


VARIANTS = [
    *("sigmoid", "hinge", "ipo", "nca_pair", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down"),
    *("discopop", "sigmoid_norm"),
]


@pytest.mark.parametrize("loss_type", VARIANTS)
def test_trls_variants_are_the_same_packed(
    loss_type: str, batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    trainer = make_trainer("llava_onevision", batch, world, tmp_path, loss_type=[loss_type], loss_weights=[1.0])
    loss, gradients, _ = step(trainer, batch, packed=True)
    expected, expected_gradients, _ = step(trainer, batch, packed=False)
    assert math.isfinite(loss)
    assert loss == pytest.approx(expected, rel=1e-5)
    # discopop is steep: of two draws of the rows, float32 gave 1.5e-6 for one and 1.1e-5 for the other
    assert difference(gradients, expected_gradients) < (2e-5 if loss_type == "discopop" else 1e-5)


@pytest.mark.parametrize(
    "section",
    [
        {"loss_type": ["robust"], "loss_weights": [1.0], "label_smoothing": 0.2},
        {"loss_type": ["exo_pair"], "loss_weights": [1.0], "label_smoothing": 0.1},
        {"use_weighting": True},
        {"ld_alpha": 0.5},
        {"f_divergence_type": "js_divergence"},
        {"loss_type": ["sigmoid", "bco_pair", "sft"], "loss_weights": [0.8, 0.2, 1.0]},
    ],
    ids=lambda section: "-".join(section),
)
def test_trls_options_are_the_same_packed(
    section: dict[str, Any], batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    trainer = make_trainer("llava_onevision", batch, world, tmp_path, **section)
    loss, gradients, _ = step(trainer, batch, packed=True)
    expected, expected_gradients, _ = step(trainer, batch, packed=False)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert difference(gradients, expected_gradients) < 1e-5


def test_a_video_that_both_see_is_encoded_once(
    batch: list[dict[str, Any]], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer("internvl", batch, world, tmp_path)
    encode, seen = Vision.encode, []
    monkeypatch.setattr(Vision, "encode", lambda self, *given: seen.append(len(given[1])) or encode(self, *given))
    trainer.compute_loss(trainer.model, trainer.data_collator(batch))
    assert seen == [4, 1, 2, 1, 1], "three contexts, and the anchors of the first and the last"


@pytest.mark.parametrize("name", ["internvl", "tiny"])
def test_under_autocast_adapters_take_inputs_as_they_are(
    name: str, batch: list[dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    """A copy in float32 of each adapter's input would become the same bfloat16 again."""
    found = []
    for casts in (False, True):
        trainer = make_trainer(name, batch, world, tmp_path, bf16=True)
        layers = [one for one in trainer.model.modules() if isinstance(one, BaseTunerLayer)]
        assert layers
        assert not any(layer.cast_input_dtype_enabled for layer in layers)
        for layer in layers:
            layer.cast_input_dtype_enabled = casts
        with torch.autocast("cpu", torch.bfloat16):
            loss = trainer.compute_loss(trainer.model, trainer.data_collator(batch))
        loss.backward()
        gradients = [one.grad for one in trainer.model.parameters() if one.grad is not None]
        found.append([loss.detach(), *gradients])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    plain = make_trainer(name, batch, world, tmp_path)
    assert all(one.cast_input_dtype_enabled for one in plain.model.modules() if isinstance(one, BaseTunerLayer))
