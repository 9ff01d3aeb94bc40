"""What a model is told of time is true, of every family, in training, in a build and in an evaluation alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.families import FAMILIES

from longvpo.clips.pool import Pool
from longvpo.clips.rows import Clip
from longvpo.dataset.session import clip_request
from longvpo.evaluation.multi import LongQuestion, long_questions
from longvpo.evaluation.needle import Needle, needles
from longvpo.models.encode import tells_times
from longvpo.models.local import answer
from longvpo.recipe.evaluation import MultiSection
from longvpo.recipe.sections import VideoSection
from longvpo.recipe.sources import SourceSection
from longvpo.training.collator import AnchoredCollator
from longvpo.video.frames import ClipFrames, write_video

QUESTION = "what color is the ring?"
VIDEO = VideoSection(max_frames=16, short_side=64)
Inputs = dict[str, Any]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films, of ten minutes and of eight seconds, with a picture a second."""
    folder = tmp_path_factory.mktemp("films")
    for name, seconds in (("long", 600), ("short", 8)):
        write_video(folder / f"{name}.mp4", np.full((seconds, 64, 64, 3), 90, np.uint8), fps=1)
    return folder


class Listener:
    """A model that notes its inputs, and answers with its end token."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, end: int) -> None:
        self.heard: list[Inputs] = []
        self.generation_config = SimpleNamespace(pad_token_id=end, eos_token_id=end)

    def generate(self, input_ids: Any, **inputs: Any) -> Any:
        names = ("max_new_tokens", "do_sample", "logits_processor")
        self.heard.append({"input_ids": input_ids, **{k: v for k, v in inputs.items() if k not in names}})
        return torch.cat([input_ids, torch.full((len(input_ids), 1), self.generation_config.eos_token_id)], dim=1)


def film(name: str) -> Clip:
    return Clip(name, "films", f"{name}.mp4", 0.0, {"long": 600.0, "short": 8.0}[name], "a caption")


def trained(processor: Any, frames_of: ClipFrames, names: list[str]) -> Inputs:
    row = {"prompt": QUESTION, "chosen": "red", "rejected": "blue", "reference": "full", "anchors": [0]}
    batch = AnchoredCollator(processor, frames_of)([row | {"context": [film(name).reference for name in names]}])
    prompt = batch["completion_mask"][0].argmax()  # all before the answer
    texts = {key: batch[key][:1, :prompt] for key in ("input_ids", "mm_token_type_ids") if key in batch}
    return texts | batch["vision"][0].made


def written(processor: Any, frames_of: ClipFrames, names: list[str]) -> Inputs:
    recipe = SimpleNamespace(video=VIDEO, context=SimpleNamespace(frame_budget=128))
    session: Any = SimpleNamespace(recipe=recipe, frames_of=frames_of)
    model = Listener(processor.tokenizer.eos_token_id)
    answer(model, processor, [clip_request([film(name) for name in names], session, QUESTION)], 4)
    return model.heard[0]


def evaluated(processor: Any, frames_of: ClipFrames, names: list[str]) -> Inputs:
    model = Listener(processor.tokenizer.eos_token_id)
    clips = [film(name) for name in names]
    counts = [len(frames_of(clip.reference)) for clip in clips]
    needle = Needle(QUESTION, ("red",), list(range(len(clips))), 0)
    exam = needles(Pool(clips, np.array(counts)), {1: [[needle]]}, frames_of)
    if len(clips) == 1:
        section = MultiSection(source=SourceSection(name="films", folder="x"))
        exam += long_questions(section, [LongQuestion(QUESTION, ("red",), "2", clips[0], counts[0])], frames_of)
    for part in exam:
        answer(model, processor, [one.request for one in part], 4)
    assert all(said_of(one) == said_of(model.heard[0]) for one in model.heard)
    return model.heard[0]


def said_of(inputs: Inputs) -> dict[str, Any]:
    names = ("input_ids", "second_per_grid_ts", "video_grid_thw", "mm_token_type_ids")
    return {name: np.asarray(inputs[name]).tolist() for name in names if name in inputs}


WAYS: list[Callable[..., Inputs]] = [trained, written, evaluated]


def times_in(name: str, processor: Any, inputs: Inputs) -> list[float] | None:
    """Seconds of the frames, or of pairs of frames, as a family's inputs tell them; None where nothing is told."""
    text = processor.tokenizer.decode(inputs["input_ids"][0])
    if name == "qwen2_5_vl":
        (step,), pairs = np.asarray(inputs["second_per_grid_ts"]).tolist(), int(inputs["video_grid_thw"][0, 0])
        return [step * (pair + 0.5) for pair in range(pairs)]
    if name == "qwen3_vl":
        return [float(found) for found in re.findall(r"<([\d.]+) seconds>", text)]
    if name == "smolvlm2":
        return [60 * int(m) + int(s) for m, s in re.findall(r"Frame from (\d+):(\d+):", text)]
    return None


@pytest.mark.parametrize("name", FAMILIES)
def test_ten_minutes_are_ten_minutes(name: str, films: Path) -> None:
    model, processor = FAMILIES[name]()
    frames_of = ClipFrames(VIDEO, {"films": films})
    found = [way(processor, frames_of, ["long"]) for way in WAYS]
    true = [37.5 * (place + 0.5) for place in range(16)]
    pairs = [75.0 * (pair + 0.5) for pair in range(8)]
    expected = {"qwen2_5_vl": pairs, "qwen3_vl": pairs, "smolvlm2": [int(time) for time in true]}.get(name)
    for inputs in found:
        assert said_of(inputs) == said_of(found[0]), "training, a build and an evaluation are told the same"
        assert times_in(name, processor, inputs) == (expected and pytest.approx(expected))
    if name == "smolvlm2":
        assert "0:10:00 [H:MM:SS]" in processor.tokenizer.decode(found[0]["input_ids"][0])
    if name == "qwen2_5_vl":
        grids = {key: torch.as_tensor(value) for key, value in said_of(found[0]).items()}
        positions = model.model.get_rope_index(**grids)[0][0, 0]
        seen = positions[grids["mm_token_type_ids"][0] == 2]
        assert seen.max() - seen.min() == 7 * 75 * model.config.vision_config.tokens_per_second
    assert tells_times(processor) == (expected is not None)


@pytest.mark.parametrize("name", FAMILIES)
def test_of_clips_one_after_the_other_each_has_its_own_times(name: str, films: Path) -> None:
    """Ten minutes in 16 frames, and eight seconds in 8: they were sampled at different rates."""
    processor = FAMILIES[name]()[1]
    frames_of = ClipFrames(VIDEO, {"films": films})
    found = [way(processor, frames_of, ["long", "short"]) for way in WAYS]
    assert said_of(found[0]) == said_of(found[1]) == said_of(found[2])
    true = [*(37.5 * (place + 0.5) for place in range(16)), *(600.5 + place for place in range(8))]
    pairs = [(one + other) / 2 for one, other in zip(true[::2], true[1::2], strict=True)]
    mean = 2 * 608 / 24  # one number for the whole video
    expected = {
        "qwen2_5_vl": [mean * (pair + 0.5) for pair in range(12)],
        "qwen3_vl": [round(time, 1) for time in pairs],
        "smolvlm2": [int(time) for time in true],
    }.get(name)
    assert times_in(name, processor, found[0]) == (expected and pytest.approx(expected, abs=0.051))


def test_videos_of_one_batch_have_their_own_times(films: Path) -> None:
    processor = FAMILIES["qwen3_vl"]()[1]
    processor.tokenizer.padding_side = "left"
    frames_of = ClipFrames(VideoSection(max_frames=8, short_side=64), {"films": films})
    recipe = SimpleNamespace(video=frames_of.section, context=SimpleNamespace(frame_budget=128))
    session: Any = SimpleNamespace(recipe=recipe, frames_of=frames_of)
    model = Listener(processor.tokenizer.eos_token_id)
    answer(model, processor, [clip_request([film(name)], session, QUESTION) for name in ("long", "short")], 4)
    ids = model.heard[0]["input_ids"]
    long, short = (times_in("qwen3_vl", processor, {"input_ids": ids[row : row + 1]}) for row in range(2))
    assert (long, short) == ([75.0, 225.0, 375.0, 525.0], [1.0, 3.0, 5.0, 7.0])
