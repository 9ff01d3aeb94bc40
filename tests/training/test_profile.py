"""Where the time of training goes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from support.commands import Capture, run
from support.families import FAMILIES

from longvpo.models.counting import RowLength
from longvpo.models.memory import Skeleton
from longvpo.training.arithmetic import Arithmetic, peak_of
from longvpo.training.profile import PHASES
from longvpo.training.step.phases import phase, recording


def test_a_phase_inside_another_is_taken_out_of_it_but_not_of_the_backward_pass() -> None:
    with phase("nobody records"):
        pass
    with recording() as phases:
        with phase("prompt"):
            time.sleep(0.02)
            with phase("answers"):
                time.sleep(0.05)
        with phase("backward"), phase("answers"):
            time.sleep(0.03)
    assert set(phases.seconds) == {"prompt", "answers", "backward"}
    assert phases.seconds["prompt"] < phases.seconds["backward"] < phases.seconds["answers"]


def test_a_profile_adds_up_and_leaves_nothing(
    dataset: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "tiny/stage1", f"data.dataset={dataset}", f"data.videos.drawn={world}", "--profile"]
    assert run(monkeypatch, *arguments, "2", "--json", "training.gradient_accumulation_steps=2") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["phases"]) == [*PHASES, "other"]
    assert sum(found["phases"].values()) == pytest.approx(found["seconds_a_step"])
    assert all(found["phases"][name] > 0 for name in PHASES)
    assert found["data_wait_share"] == pytest.approx(found["phases"]["data"] / found["seconds_a_step"])
    assert (found["steps"], found["mfu"]) == (2, None)
    assert found["tflop_a_step"] > 0
    assert list(tmp_path.iterdir()) == []

    assert run(monkeypatch, *arguments, "1", "lora.r=4", "reference_log_probs=precomputed") == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[:10]] == ["phase", *PHASES, "other", "step"]
    assert out.splitlines()[3].split() == ["reference", "0.000", "0.0%"], "a run scores it before its first step"
    assert run(monkeypatch, *arguments, "0") == 1
    assert "--profile takes the number of steps" in capsys.readouterr().err


def test_arithmetic_by_hand() -> None:
    """The small InternVL: each linear layer twice, and half of an attention."""
    model, _ = FAMILIES["internvl"]()
    text, vision = model.config.text_config, model.config.vision_config
    cost = Arithmetic(Skeleton(model.config))
    width, keys = text.hidden_size, text.hidden_size // text.num_attention_heads * text.num_key_value_heads
    layer = 2 * width * width + 2 * width * keys + 3 * width * text.intermediate_size
    weights = text.num_hidden_layers * layer
    assert cost.forward(10) == 2 * weights * 10 + text.num_hidden_layers * 2 * width * 10**2
    assert cost.backward(10) == 2 * weights * 10 + text.num_hidden_layers * 4 * width * 10**2
    # two frames of four patches of 14 pixels
    patches, pixels = 8, 2 * 3 * 28 * 28
    attention = vision.num_hidden_layers * 4 * vision.hidden_size * patches**2 / 2
    assert cost.seen(2, pixels) == pytest.approx(2 * cost.vision * patches + attention)
    one = RowLength(2, (28, 28), pixels, 2, 10)
    assert cost.step(one, 7) - cost.step(one) == cost.forward(7)


def test_peaks_by_a_devices_name() -> None:
    assert peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_of("NVIDIA H100 PCIe") == 756e12
    assert peak_of("NVIDIA H200") == 989e12
    assert peak_of("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_of("") is peak_of("NVIDIA GeForce GTX 1080") is None
