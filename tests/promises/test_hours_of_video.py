"""Hours of video take the memory of minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.films import LENGTH, RATE, grey, table, write_numbered
from support.scribe import run
from support.world import TWO_SIZES

OPEN = """
import json, sys
from pathlib import Path
import av, decord, scenedetect
from longvpo.clips.long_videos import list_long_videos, open_long_video
from longvpo.recipe.sources import LongSourceSection, SceneSection
from longvpo.video import children
from longvpo.video.frames import read_frames, sample_times

def most():  # not ru_maxrss, which begins with that of the program that started this one
    pids = ["self", *(child.process.pid for child in children._all)]
    lines = [line for pid in pids for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM")]
    return sum(int(line.split()[1]) for line in lines) / 1024

folder, before = Path(sys.argv[1]), most()
source = LongSourceSection(name="s", folder=folder, scenes=SceneSection(min_seconds=5))
videos, dropped = list_long_videos(source, 0)
clips = open_long_video(source, videos[0], folder / "kept")
shown = []
for clip in (clips[0], clips[len(clips) // 2], clips[-1]):
    times = sample_times(clip.start, clip.end, 1, 16)
    frames = read_frames(folder / clip.video, times)
    grey, marks = frames[:, :, :24].mean((1, 2, 3)), frames[:, ::16, 40] .mean(-1) > 127
    shown += [(float(time), float(level), mark.tolist()) for time, level, mark in zip(times, grey, marks)]
spans = [(clip.start, clip.end) for clip in clips]
print(json.dumps({"before": before, "most": most(), "spans": spans, "shown": shown}))
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Gives the file of a film of so many seconds, which is made once."""
    folder = tmp_path_factory.mktemp("films")

    @cache
    def made(seconds: int) -> Path:
        write_numbered(folder / f"{seconds}.mp4", seconds)
        return folder / f"{seconds}.mp4"

    return made


def opened(folder: Path, film: Path) -> dict[str, Any]:
    """What a program of its own finds in a film, and the memory that it takes in megabytes."""
    (table(folder, [{"file_name": "long.mp4"}]) / "long.mp4").symlink_to(film)
    done = subprocess.run([sys.executable, "-c", OPEN, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["spans"] == [[start, start + LENGTH] for start in range(0, int(film.stem), LENGTH)]
    assert len(found["shown"]) == 48
    for time, level, marks in found["shown"]:
        number = int(time * RATE)
        assert abs(level - (grey(number) - 16) * 255 / 219) < 1.1, f"another frame than {number}"
        assert marks == [bool(number // (RATE * LENGTH) >> bit & 1) for bit in range(4)]
    return found


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a program's memory there")
@TWO_SIZES
def test_hours_take_the_memory_of_ten_minutes(soak: bool, film: Callable[[int], Path], tmp_path: Path) -> None:
    hours = 3 if soak else 1
    short, long = opened(tmp_path / "short", film(600)), opened(tmp_path / "long", film(hours * 3600))
    growth = [found["most"] - found["before"] for found in (short, long)]
    print(f"memory of 10 minutes and of {hours} h: {short['most']:.0f} and {long['most']:.0f} MB, growth {growth}")
    assert long["most"] < 1.25 * short["most"]
    # measured: 20 and, of three hours, 34 MB; of every picture FFmpeg, decord and the probe keep its time and place,
    # some 170 bytes, while the pictures of an hour would be 350 MB
    assert growth[1] - growth[0] < 8 * hours


HOURS = """
import json, sys
from pathlib import Path
from longvpo.dataset.run import build
from longvpo.models.embed import Embedder
from longvpo.video import children
from support.scribe import Scribe, recipe

def most():  # not ru_maxrss, which begins with that of the program that started this one
    pids = ["self", *(child.process.pid for child in children._all)]
    lines = [line for pid in pids for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM")]
    return sum(int(line.split()[1]) for line in lines) / 1024

folder = Path(sys.argv[1])
made = recipe(folder, "stage2")
made = made.model_copy(update={"video": made.video.model_copy(update={"cache_gb": 0.01})})
embedder, scribe = Embedder(made.filters), Scribe(folder / "asked")
before = most()
facts = build(made, folder / "out", writer=scribe, embedder=embedder, question_writer=scribe)
print(json.dumps({"before": before, "most": most(), "scenes": facts["stage2"]["scenes"]}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a program's memory there")
@pytest.mark.soak
def test_a_build_from_hours_takes_the_memory_of_one_from_ten_minutes(
    film: Callable[[int], Path], tmp_path: Path
) -> None:
    """Cuts, recursive captions with folds, questions, answers, publishing."""
    growth, hours = [], 3
    for seconds in (600, hours * 3600):
        folder = table(tmp_path / str(seconds), [{"file_name": "long.mp4"}])
        (folder / "long.mp4").symlink_to(film(seconds))
        said, errors = run(HOURS, folder).communicate(timeout=900)
        assert said, errors[-2000:]
        result = json.loads(said)
        # scenes of 20 seconds, each in parts of at most 8
        assert result["scenes"] == seconds // LENGTH * 3
        growth.append(result["most"] - result["before"])
        print(f"{seconds} s: {result['scenes']} scenes, memory {result['before']:.0f} -> {result['most']:.0f} MB")
    assert growth[1] < growth[0] + 33 * hours, "its pictures would be 350 MB an hour"
