"""Models on this machine that write and judge, and the encoders that measure."""

from __future__ import annotations

import json
import runpy
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from scipy.stats import chisquare
from support.trainers import family
from support.world import ROOT
from transformers import LlamaConfig, LlamaForCausalLM

from longvpo.errors import LongVPOError
from longvpo.io.remembered import remembered_hash
from longvpo.models.batches import alike
from longvpo.models.features import VideoEncoder, takes_features
from longvpo.models.likelihood import answer_log_probs
from longvpo.models.load import load_processor, writers_adapter
from longvpo.models.local import LocalWriter, answer, sampler
from longvpo.models.writer import Answer, Request
from longvpo.recipe.sections import ModelSection, WriterSection
from longvpo.tiny.tasks import ASK
from longvpo.video.frames import read_frames, sample_times


def ask(writer: LocalWriter, requests: list[Request]) -> list[Answer]:
    """Answers in the order of the requests."""
    answers: dict[int, Answer] = {}
    batches = writer.batches(requests)
    writer.write(
        [[requests[index] for index in batch] for batch in batches],
        lambda number, said: answers.update(zip(batches[number], said, strict=True)),
    )
    return [answers[index] for index in range(len(requests))]


def about(world: Path, number: int, seed: int, temperature: float = 1.0) -> Request:
    frames = read_frames(world / "videos" / f"{number:05d}.mp4", sample_times(0, 4, 1, 64))
    text = ASK.format(caption="a red ring moves up in the fog")
    return Request(text, seed, temperature, times=(0.5, 1.5, 2.5, 3.5), seconds=4.0, frames=lambda: frames)


@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_each_row_is_drawn_by_its_own_seed(world: Path, quantization: str | None) -> None:
    section = WriterSection.model_validate(
        {"model": "tiny", "dtype": "float32", "quantization": quantization, "batch_size": 4, "max_new_tokens": 24}
    )
    writer = LocalWriter(section)
    requests = [about(world, number, seed) for number in range(3) for seed in (1, 2, 3)]
    together = ask(writer, requests)
    assert len({answer.text for answer in together}) > 3, "seeds make questions differ"
    assert all((answer.prompt_tokens or 0) > (answer.completion_tokens or 99) > 3 for answer in together)
    alone = [ask(writer, [request])[0] for request in requests]
    assert [answer.text for answer in alone] == [answer.text for answer in together], "whatever else is in the batch"


def test_gumbel_noise_draws_from_the_softmax() -> None:
    scores = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    picks = [int(sampler([Request("", seed, 0.7)])(None, scores).argmax()) for seed in range(4000)]
    expected = torch.softmax(scores[0] / 0.7, 0).numpy().astype(float)
    assert chisquare(np.bincount(picks, minlength=4), 4000 * expected / expected.sum()).pvalue > 0.01


@pytest.mark.parametrize("ragged", [True, False])
def test_videos_of_all_lengths_share_a_batch(name: str, ragged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each family answers as it does alone; one that cannot has batches of equal numbers of frames."""
    model, processor = family(name)
    processor.tokenizer.padding_side = "left"
    if not ragged:
        monkeypatch.setattr(VideoEncoder, "features_of", lambda self, pixels: None)
    assert takes_features(model, processor) is ragged
    draw = np.random.default_rng(0)
    requests = []
    for number, frames in enumerate((4, 1, 5, 4, 8)):
        video = draw.integers(0, 255, (frames, 56 + 28 * (number % 2), 84, 3), np.uint8)
        times = tuple(0.5 + one for one in range(frames))
        text = "red? " * (number + 1)
        requests.append(Request(text, times=times, seconds=float(frames), frames=partial(np.array, video)))
    batches = alike(requests, 4, takes_features(model, processor))
    assert [len(batch) for batch in batches] == ([4, 1] if ragged else [1, 2, 1, 1])
    for batch in batches:
        together = answer(model, processor, [requests[index] for index in batch], 12)
        alone = [answer(model, processor, [requests[index]], 12)[0] for index in batch]
        assert together == alone


def test_the_benchmark_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["writer.py", "--small", "--json"])
    runpy.run_path(str(ROOT / "benchmarks/writer.py"), run_name="__main__")
    found = json.loads(capsys.readouterr().out)
    assert [one["all_lengths"]["requests_a_batch"] for one in found.values()] == [4.0] * 3
    assert all(one["same_text"] == 1.0 for one in found.values())


def test_a_model_for_text_alone_can_judge(tmp_path: Path) -> None:
    tokenizer = load_processor(ModelSection(model="tiny", dtype="float32")).tokenizer
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            eos_token_id=tokenizer.eos_token_id,
        )
    ).save_pretrained(tmp_path)
    tokenizer.chat_template = "{% for m in messages %}user {{ m['content'] }} {% endfor %}assistant"
    tokenizer.save_pretrained(tmp_path)
    writer = LocalWriter(WriterSection(model=str(tmp_path), dtype="float32", batch_size=2, max_new_tokens=5))
    requests = [Request(text) for text in ("what color is the ring", "where is the ring", "red")]
    answers = ask(writer, requests)
    assert [answer.prompt_tokens for answer in answers] != [answers[0].prompt_tokens] * 3
    assert all(answer.completion_tokens for answer in answers)
    assert [answer.text for answer in answers] == [ask(writer, [request])[0].text for request in requests]


def test_a_video_model_can_be_asked_without_a_video() -> None:
    writer = LocalWriter(WriterSection(model="tiny", dtype="float32", max_new_tokens=5))
    assert ask(writer, [Request("what color is the ring?")])[0].prompt_tokens


def test_a_writer_with_an_adapter(trained: Path, world: Path, tmp_path: Path) -> None:
    """It answers as model and adapter together do, and goes by both."""
    stronger = shutil.copytree(trained, tmp_path / "stronger")
    weights = load_file(trained / "adapter_model.safetensors")
    save_file({name: 40 * one for name, one in weights.items()}, stronger / "adapter_model.safetensors")
    said, names, likelier = {}, {}, {}
    for name, adapter in (("base", None), ("trained", trained), ("stronger", stronger)):
        values = {"model": "tiny", "dtype": "float32", "max_new_tokens": 24, "adapter": adapter and str(adapter)}
        writer = LocalWriter(WriterSection.model_validate(values))
        said[name] = [one.text for one in ask(writer, [about(world, number, 0, 0.0) for number in range(6)])]
        names[name] = writer.name
        pair = [[Request("where is the ring?")], ["in the sea"]]
        likelier[name] = float(answer_log_probs(writer.model, writer.processor, *pair, 1)[0][0])
    assert names["base"] == "tiny@main"
    hashed = remembered_hash(trained / "adapter_model.safetensors")[:8]
    assert names["trained"] == f"tiny@main+{trained.name}@{hashed}"
    assert len(set(names.values())) == 3
    assert said["stronger"] != said["base"]
    assert len(set(likelier.values())) == 3


def test_an_adapter_of_another_model_is_no_writers(trained: Path) -> None:
    with pytest.raises(LongVPOError, match="was trained on tiny, not on someone/else"):
        writers_adapter(WriterSection(model="someone/else", adapter=str(trained)))
    with pytest.raises(ValidationError, match="a server has its own names for adapters"):
        WriterSection.model_validate({"model": "x", "adapter": "y", "endpoint": {"url": "http://localhost:1/v1"}})
