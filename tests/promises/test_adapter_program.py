"""The program in an adapter's card, word for word: a fresh process, a video file, and longvpo's own answer.

The names of repositories are folders beside the program here, or are found on a Hub on this machine. Nothing else is
changed. Only the program of the embedded base may import longvpo.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.families import FAMILIES
from support.hub.looks import ALICE
from support.hub.pushes import Pushes, environment
from support.world import ROOT

from longvpo.evaluation.benchmark_recipe import read_as_trained
from longvpo.models.encode import encode, to_model
from longvpo.models.load import load_model, load_processor
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.release.cards import card_of
from longvpo.training.run import train
from longvpo.video.frames import duration, middles, read_frames, sample_times, write_video
from longvpo.video.joined import at_rate

QUESTION = "What happens in this video?"  # as the card has it
MOST_LINES = 22


def programs(card: str) -> tuple[str, str]:
    """The whole program, and the same with the lines of NF4 in their place."""
    whole, nf4 = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    (line,) = [line for line in whole.splitlines(keepends=True) if line.startswith("base = ")]
    return whole, whole.replace(line, nf4)


def run(program: str, folder: Path, environ: dict[str, str] | None = None) -> str:
    """What a stranger's Python prints, and nothing else: not the prompt."""
    (folder / "program.py").write_text(program, encoding="utf-8")
    environ = environ or {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-W", "ignore", "program.py"]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=folder, env=environ)
    assert ended.returncode == 0, f"{program}\n{ended.stderr[-2000:]}"
    return ended.stdout.removesuffix("\n")


def answer(video: Path, adapter: Path, *overrides: str) -> str:
    """What longvpo's own model says of its own frames."""
    asked = read_as_trained(str(adapter), None, "", overrides)
    times = sample_times(0, duration(video), asked.video.fps, asked.video.max_frames)
    frames = read_frames(video, times, asked.video.short_side)
    model, processor = load_model(asked.base, adapter), load_processor(asked.base)
    inputs = to_model(encode(processor, [QUESTION], [frames], [at_rate(len(frames), asked.video.fps)]), model)
    output = model.generate(**inputs, max_new_tokens=256, do_sample=False)
    said: str = processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return said


@pytest.fixture(scope="module", params=["internvl", "qwen2_5_vl"])
def family(
    request: pytest.FixtureRequest, dataset: Path, world: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An adapter of a family after one step, as its training left it; its base lies in a folder, and on the Hub."""
    folder = tmp_path_factory.mktemp(request.param)
    for part in FAMILIES[request.param]():
        part.save_pretrained(folder / "base")
    base = [f"base.model={folder / 'base'}", "base.dtype=bfloat16", "base.quantization=nf4", "base.license=mit"]
    more = ["base.hub_id=someone/small", "name=my-adapter", "training.bf16=true", "training.max_steps=1"]
    data = [f"data.dataset={dataset}", f"data.videos.drawn={world}"]
    train(load_recipe(TrainRecipe, "tiny", [*base, *more, *data]), folder / "my-adapter")
    return folder


def test_a_family_answers_as_longvpo_does_in_both_precisions(family: Path, world: Path, tmp_path: Path) -> None:
    (tmp_path / "someone").mkdir()
    (tmp_path / "someone" / "small").symlink_to(family / "base")
    (tmp_path / "my-adapter").symlink_to(family / "my-adapter")
    video = Path(shutil.copy(next((world / "videos").iterdir()), tmp_path / "video.mp4"))
    card = (family / "my-adapter" / "README.md").read_text()
    assert "base_model: someone/small\nbase_model_relation: adapter\n" in card
    whole, nf4 = programs(card)
    assert len([line for line in whole.splitlines() if line]) <= MOST_LINES
    assert "longvpo" not in whole + nf4
    for program, override in ((whole, ["base.quantization=null"]), (nf4, [])):
        said = run(program, tmp_path)
        assert said == answer(video, family / "my-adapter", *override)
        assert said
        assert QUESTION not in said


def test_an_adapter_of_the_hub_answers_at_its_tag(pushes: Pushes, trained: Path, world: Path, tmp_path: Path) -> None:
    adapter = shutil.copytree(trained, tmp_path / "adapter")
    code, said = pushes.run("push", adapter, "--repo-id", "stranger", token=ALICE + "stranger")
    assert code == 0, said
    video = Path(shutil.copy(next((world / "videos").iterdir()), tmp_path / "video.mp4"))
    whole, nf4 = programs(pushes.read("models/alice/stranger", "v0.1.0", "README.md"))
    assert whole.count('"alice/stranger", revision="v0.1.0"') == 2
    assert len([line for line in whole.splitlines() if line]) <= MOST_LINES
    environ = environment(pushes.address, ALICE + "reader", tmp_path / "home") | {"PYTHONPATH": str(ROOT)}
    for program, override in ((whole, ["base.quantization=null"]), (nf4, ["base.quantization=nf4"])):
        assert run(program, tmp_path, environ) == answer(video, adapter, *override)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "turned.mp4", "short.mp4", "sound.mp4"])
def test_its_frames_are_those_that_training_sees(name: str, trained: Path, tmp_path: Path) -> None:
    """A container without the length of its pictures, a picture that is stored turned, a film of less than two
    seconds, and one whose sound is longer."""
    seconds = 1.25 if name == "short.mp4" else 7
    pictures = np.random.default_rng(0).integers(0, 255, (round(8 * seconds), 6, 8, 3), np.uint8)
    write_video(tmp_path / "plain.mp4", pictures.repeat(20, 1).repeat(20, 2), Fraction(8))
    copied(tmp_path / "plain.mp4", tmp_path / name)
    times = sample_times(0, seconds, 1, 64)
    if name == "short.mp4":  # some encoders join two frames, and refuse one
        times = np.array([0.25, 0.75]) * seconds
    found = shown_by_the_program(tmp_path / name, trained)
    assert found["times"] == pytest.approx(times)
    wanted = read_frames(tmp_path / name, times, 96, "pyav")
    assert wanted.shape[1:3] == ((128, 96) if name == "turned.mp4" else (96, 128))
    assert found["frames"].tolist() == wanted.tolist()


HOLDS = [0, 1, 2, 7, 8, 9, 15, 16, 16.04]
STEADY = [place / 10 for place in range(40)]
ODD = {  # when each picture comes on screen, in seconds; seconds of sound
    "screen.mp4": (HOLDS, 0),
    "screen.mkv": (HOLDS, 0),
    "screen.ts": (HOLDS, 0),
    "late.mp4": ([2 + time for time in STEADY], 6),
    "late.mkv": ([2 + time for time in STEADY], 6),
    "long_sound.mkv": (STEADY, 12),
    "one.mp4": ([0], 0),
    "one.mkv": ([0], 0),
    "raw.h264": (STEADY, 0),
    "reordered.avi": (STEADY, 0),
}


@pytest.mark.parametrize("name", ODD)
def test_its_frames_are_exact_in_odd_films(name: str, trained: Path, tmp_path: Path) -> None:
    """Pictures that stay for seconds, that begin late, that end long before the sound, or that bear no times."""
    written(tmp_path / name, *ODD[name])
    found = shown_by_the_program(tmp_path / name, trained)
    seconds = duration(tmp_path / name)
    assert found["seconds"] == pytest.approx(seconds, abs=0.002)
    times = middles(0, seconds, max(2, len(sample_times(0, seconds, 1, 64))))
    assert found["frames"].tolist() == read_frames(tmp_path / name, times, 96, "pyav").tolist()


def shown_by_the_program(film: Path, adapter: Path) -> dict[str, Any]:
    """What the lines of the program hold that choose and decode the frames."""
    whole, _ = programs(card_of(adapter))
    (opened,) = re.findall(r"^film.*\n", whole, re.MULTILINE)
    lines = opened + whole[whole.index("shown = ") : whole.index("chat = ")]
    held: dict[str, Any] = {"av": av, "numpy": np}
    exec(lines.replace("video.mp4", str(film)), held)
    held["frames"] = np.stack([held["images"][place] for place in held["on_screen"]])
    return held


def written(to: Path, times: list[float], sound: int) -> None:
    """A film whose pictures come on screen at these times, each with a colour of its own."""
    with av.open(str(to), "w") as output:
        rate, unit = (10, Fraction(1, 10)) if to.suffix in (".avi", ".h264") else (1000, Fraction(1, 1000))
        codec = "mpeg4" if to.suffix == ".avi" else "libx264"
        pictures = output.add_stream(codec, rate=rate, width=160, height=128, pix_fmt="yuv420p")
        pictures.codec_context.time_base = unit
        pictures.codec_context.options = {"bf": "2" if to.suffix == ".avi" else "0"}
        silent = output.add_stream("aac", rate=16_000) if sound else None
        for place, time in enumerate(times):
            colors = np.array([place * 37 % 256, place * 91 % 256, place * 53 % 256], np.uint8)
            picture = av.VideoFrame.from_ndarray(np.broadcast_to(colors, (128, 160, 3)).copy(), format="rgb24")
            picture.pts, picture.time_base = round(time / unit), unit
            output.mux(pictures.encode(picture))
        output.mux(pictures.encode())
        if silent is not None:
            mute(output, silent, sound)


def mute(output: Any, stream: Any, seconds: int) -> None:
    """Write so many seconds of silence."""
    silence = av.AudioFrame.from_ndarray(np.zeros((1, 16_000 * seconds), np.float32), "fltp", "mono")
    silence.sample_rate = 16_000
    output.mux(stream.encode(silence))
    output.mux(stream.encode())


def copied(plain: Path, to: Path) -> None:
    """The same pictures in another container, turned, or with a longer sound."""
    with av.open(str(plain)) as film, av.open(str(to), "w") as output:
        pictures = output.add_stream_from_template(film.streams.video[0])
        sound = output.add_stream("aac", rate=16_000) if to.name == "sound.mp4" else None
        for packet in film.demux(film.streams.video[0]):
            if packet.dts is not None:
                packet.stream = pictures
                output.mux(packet)
        if sound is not None:
            mute(output, sound, 9)
    if to.name == "turned.mp4":  # as a phone that is held upright says it: in the header of the track
        content, turned = to.read_bytes(), struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
        place = content.index(b"tkhd") + 44
        to.write_bytes(content[:place] + turned + content[place + len(turned) :])
