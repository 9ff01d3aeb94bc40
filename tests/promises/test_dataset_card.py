"""A dataset's card in a stranger's hands. Its programs run word by word and give longvpo's frames. Hours of film take
the memory of minutes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.films import LENGTH, RATE, grey, write_numbered
from support.hub.looks import ALICE
from support.hub.pushes import Pushes, environment
from support.world import GOLDEN, SMALL, TWO_SIZES

import longvpo
from longvpo.dataset.run import build
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.release.cards import card_of
from longvpo.video.frames import duration, read_frames, sample_times


def programs(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


def ran(program: str, folder: Path, hub: str) -> str:
    """What a program prints in a process of its own, that knows a Hub and is nobody there."""
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-W", "ignore", "program.py"]
    here = environment(hub, None, folder / "home")
    here.pop("PYTHONPATH", None)
    done = subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True)
    assert done.returncode == 0, f"{program}\n{done.stderr[-3000:]}"
    return done.stdout


KEPT = """
import numpy
numpy.savez("shown.npz", *[numpy.stack([numpy.asarray(one) for one in clip]) for clip in context])
"""


@pytest.mark.parametrize("embed", ["null", "frames"])
def test_every_program_runs_as_it_stands(embed: str, world: Path, pushes: Pushes, tmp_path: Path) -> None:
    """From the Hub, at the release's tag; beside it lies what the card tells to put there."""
    recipe = load_recipe(
        DatasetRecipe, "tiny/dataset", [f"sources.0.folder={world}", *SMALL, f"embed={embed}", "text_only=0"]
    )
    build(recipe, tmp_path / "built")
    name = f"stranger-{embed}"
    code, said = pushes.run(
        *("push", tmp_path / "built", "--repo-id", name, "--tag", "v1.0", "--public"), token=ALICE + name
    )
    assert code == 0, said
    card = pushes.read(f"datasets/alice/{name}", "v1.0", "README.md")
    first, frames = programs(card)
    code_lines = [line for line in frames.splitlines() if line]
    assert len(code_lines) <= 18
    assert max(map(len, code_lines)) <= 100
    assert f'"alice/{name}", "stage1", split="train", revision="v1.0"' in first
    stranger = tmp_path / "stranger"
    (stranger / "videos").mkdir(parents=True)
    if embed == "null":
        (stranger / "videos" / "drawn").symlink_to(world)
    rows = longvpo.load_triplets(str(tmp_path / "built"), videos={"drawn": world})
    assert (
        ran(first, stranger, pushes.address).split()
        == " ".join(rows[0][text] for text in ("prompt", "chosen", "rejected")).split()
    )
    ran(frames + KEPT, stranger, pushes.address)
    shown = [*np.load(stranger / "shown.npz").values()]
    exact = rows[0].frames()
    assert len(shown) == len(exact) >= 1
    for one, other in zip(shown, exact, strict=True):
        assert one.shape == other.shape == (4, 96, 96, 3)
        off = np.abs(one.astype(int) - other)
        assert off.max() == 0 if embed == "null" else off.mean() < 4, "as JPEG"
    # what the card says of longvpo itself
    (call,) = re.findall(r"`(longvpo\.load_triplets\([^`]*\))` gives rows whose `frames\(\)`", card)
    path = f"import sys\nsys.path.insert(0, {str(Path(longvpo.__file__).parents[1])!r})\nimport longvpo\n"
    said = ran(f"{path}print([one.shape for one in {call}[0].frames()])", stranger, pushes.address)
    assert said.strip() == str([one.shape for one in exact])


def frames_of(folder: Path, where: Path = GOLDEN / "dataset") -> Callable[..., Any]:
    """The function that a card gives strangers, over a folder that holds a folder for each source."""
    program = programs(card_of(where))[1]
    known: dict[str, Any] = {"root": str(folder)}
    exec("import av\n" + program[program.index("def frames") : program.index("context =")], known)
    return known["frames"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "name",
    [
        *("moviepy__trailer_bbb.mp4", "iscc-samples__demo.webm", "label-studio__opossum_snow.mp4"),
        *("opencv-python-headless__tree.avi", "odd/start100s.ts", "odd/rotated90.mp4", "odd/vfr_h264_bframes.mp4"),
        *("odd/editlist_midgop.mp4", "odd/opengop_bpyramid.mp4"),
    ],
)
def test_its_frames_are_those_of_longvpo(name: str, footage: Path, tmp_path: Path) -> None:
    """Of real footage: at the beginning, in the middle and at the end. In some of these files a seek misses."""
    (tmp_path / "real").symlink_to(footage)
    frames, length = frames_of(tmp_path), duration(footage / name)
    for start, end in ((0, min(length, 5)), (0.4 * length, 0.6 * length), (0.9 * length, length)):
        shown = frames({"source": "real", "video": name, "start": start, "end": end}, fps=2, most=6)
        exact = read_frames(footage / name, sample_times(start, end, 2, 6), short_side=10_000, backend="pyav")
        assert [np.array_equal(one, other) for one, other in zip(shown, exact, strict=True)] == [True] * len(exact)


AT_THE_END = """
import json

def most():  # not ru_maxrss, which begins with that of the program that started this one
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))

root, end = "videos", {seconds}
frames({{"source": "s", "video": "film.mp4", "start": 0, "end": 1}})
before = most()
pictures = frames({{"source": "s", "video": "film.mp4", "start": end - {length}, "end": end}})
print(json.dumps([before, most(), [one.getpixel((8, 32))[0] for one in pictures]]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a program's memory there")
@TWO_SIZES
def test_its_frames_of_hours_take_the_memory_of_minutes(soak: bool, tmp_path: Path) -> None:
    program = programs(card_of(GOLDEN / "dataset"))[1]
    head = "import av\n" + program[program.index("def frames") : program.index("context =")]
    hours = 3 if soak else 1
    peaks = {}
    for seconds in (180, hours * 3600):
        folder = tmp_path / str(seconds)
        (folder / "videos" / "s").mkdir(parents=True)
        write_numbered(folder / "videos" / "s" / "film.mp4", seconds)
        told = ran(head + AT_THE_END.format(seconds=seconds, length=LENGTH), folder, "http://localhost:1")
        before, peaks[seconds], levels = json.loads(told)
        print(f"{seconds} s of film: {before:.0f} MB after its first second, {peaks[seconds]:.0f} MB after its last")
        expected = [grey(int((number + 0.5) * RATE)) for number in range(LENGTH)]
        assert len(levels) == LENGTH
        assert all(abs(level - (luma - 16) * 255 / 219) < 1.6 for level, luma in zip(levels, expected, strict=True))
        shutil.rmtree(folder)
    # FFmpeg keeps the time and place of every picture: some 100 bytes; the pictures of an hour would be 170 MB
    assert peaks[hours * 3600] - peaks[180] < 12 * hours
