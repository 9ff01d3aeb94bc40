"""Frames that are kept on disk: the same pictures everywhere, whole or a miss, within a bound."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longvpo.errors import LongVPOError, VideoError
from longvpo.io.files import file_hash
from longvpo.recipe.sections import VideoSection
from longvpo.video import frames as video
from longvpo.video.frames import ClipFrames, sample_times
from longvpo.video.kept import KeptFrames, shrink
from longvpo.video.pictures import decoded, encoded

CLIPS = [{"source": "drawn", "video": f"videos/{i:05d}.mp4", "start": 0.0, "end": 4.0} for i in range(4)]
SOME = np.array([1, 3])


def usage(folder: Path) -> int:
    """Bytes of the files in a folder of frames."""
    return sum(path.stat().st_size for path in folder.glob("??/*"))


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """The videos that are decoded, each with the number of frames."""
    found: list[tuple[str, int]] = []
    real = video.read_frames

    def counted(path: Path, times: np.ndarray, *rest: Any) -> np.ndarray:
        found.append((path.name, len(times)))
        return real(path, times, *rest)

    monkeypatch.setattr(video, "read_frames", counted)
    return found


def reader(world: Path, folder: Path | None, hashes: dict[tuple[str, str], str] | None = None, **keys: Any) -> Any:
    """One that has nothing in memory."""
    return ClipFrames(VideoSection(frames=folder, **keys), {"drawn": world}, hashes)


def said(world: Path) -> dict[tuple[str, str], str]:
    return {("drawn", clip["video"]): file_hash(world / clip["video"]) for clip in CLIPS}


def kept_files(folder: Path) -> list[Path]:
    """Those with pictures, the largest first."""
    files = sorted((path for path in folder.glob("??/*") if path.is_file()), key=lambda path: -path.stat().st_size)
    return [path for path in files if path.stat().st_size > 100]


@pytest.mark.parametrize("quality", [None, 90, 75])
def test_a_miss_and_a_hit_give_the_same_pictures(
    quality: int | None, world: Path, tmp_path: Path, decodings: list[tuple[str, int]]
) -> None:
    plain = reader(world, None)(CLIPS[0])
    first = reader(world, tmp_path, frames_quality=quality)(CLIPS[0])
    assert np.array_equal(first, plain if quality is None else decoded(encoded(plain, quality)))
    assert quality is None or not np.array_equal(first, plain)
    decodings.clear()
    again = reader(world, tmp_path, frames_quality=quality)
    assert np.array_equal(again(CLIPS[0]), first)
    assert np.array_equal(reader(world, tmp_path, frames_quality=quality)(CLIPS[0], SOME), first[SOME])
    assert np.array_equal(pickle.loads(pickle.dumps(again))(CLIPS[0]), first)
    assert decodings == []


def test_only_what_was_asked_for_is_decoded_and_kept(
    world: Path, tmp_path: Path, decodings: list[tuple[str, int]]
) -> None:
    some = reader(world, tmp_path)(CLIPS[0], SOME)
    assert np.array_equal(reader(world, tmp_path)(CLIPS[0], SOME), some)
    assert np.array_equal(reader(world, tmp_path)(CLIPS[0])[SOME], some), "the whole clip has the same pictures"
    assert decodings == [("00000.mp4", 2), ("00000.mp4", 4)]


def test_sizes_qualities_and_spans_are_kept_apart(
    world: Path, tmp_path: Path, decodings: list[tuple[str, int]]
) -> None:
    for keys in ({}, {"short_side": 64}, {"frames_quality": 75}, {"frames_quality": None}, {"fps": 0.5}):
        for _ in range(2):
            frames = reader(world, tmp_path, **keys)(CLIPS[0])
            assert frames.shape[1] == keys.get("short_side", 96)
    reader(world, tmp_path)(CLIPS[0] | {"end": 3.0})
    assert len(decodings) == 6


def test_what_is_kept_needs_no_video(world: Path, tmp_path: Path, decodings: list[tuple[str, int]]) -> None:
    hashes, gone = said(world), tmp_path / "gone"
    seen = reader(world, tmp_path)(CLIPS[0])
    reader(world, tmp_path)(CLIPS[1], SOME)
    for folders in ({"drawn": gone}, {}):
        frames_of = ClipFrames(VideoSection(frames=tmp_path), folders, hashes)
        assert [frames_of.kept_bytes(clip, SOME) > 0 for clip in CLIPS[:3]] == [True, True, False]
        assert [frames_of.kept_bytes(clip) > 0 for clip in CLIPS[:3]] == [True, False, False]
        assert frames_of.size(CLIPS[0]) == frames_of.size(CLIPS[1]) == (96, 96)
        assert np.array_equal(frames_of(CLIPS[0]), seen)
        assert len(frames_of(CLIPS[1], SOME)) == 2
        for missing in (CLIPS[1], CLIPS[2]):
            with pytest.raises(LongVPOError, match="no such video" if folders else r"set data\.videos\.drawn"):
                frames_of(missing)
    assert len(decodings) == 2


def test_another_file_under_a_name_has_its_own_frames(
    world: Path, tmp_path: Path, decodings: list[tuple[str, int]]
) -> None:
    """The dataset says the hash of the one that it was built from; on a miss the file at hand is hashed."""
    hashes = {("drawn", CLIPS[0]["video"]): "0" * 64}
    first = reader(world, tmp_path, hashes)(CLIPS[0])
    assert np.array_equal(reader(world, tmp_path)(CLIPS[0]), first)
    assert len(decodings) == 1
    copy = tmp_path / "elsewhere" / "copy.mp4"
    copy.parent.mkdir()
    copy.write_bytes((world / CLIPS[0]["video"]).read_bytes())
    frames_of = ClipFrames(VideoSection(frames=tmp_path), {"s": copy.parent})
    assert np.array_equal(frames_of({"source": "s", "video": copy.name, "start": 0.0, "end": 4.0}), first)
    assert len(decodings) == 1, "the same file under another name is found"


@pytest.mark.parametrize("fault", ["empty", "cut", "head", "picture", "text", "folder"])
def test_a_damaged_file_is_written_again(
    fault: str, world: Path, tmp_path: Path, decodings: list[tuple[str, int]]
) -> None:
    first = reader(world, tmp_path)(CLIPS[0])
    (file,) = kept_files(tmp_path)
    whole = file.read_bytes()
    if fault == "folder":
        file.unlink()
        (file.parent / f"{file.name[:40]}.1.2.unfinished").write_bytes(whole[:100])  # a killed process left it
    else:
        place = {"head": 18, "picture": len(whole) - 20}.get(fault, 0)
        flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        file.write_bytes({"empty": b"", "cut": whole[:-1], "text": b"no frames\n" * 50}.get(fault, flipped))
    assert np.array_equal(reader(world, tmp_path)(CLIPS[0]), first)
    assert file.read_bytes() == whole
    assert len(decodings) == 2


def test_frames_that_were_not_read_for_longest_leave(world: Path, tmp_path: Path) -> None:
    seen = [reader(world, tmp_path)(clip) for clip in CLIPS[:2]]
    for file in tmp_path.glob("??/*"):
        os.utime(file, (0, time.time() - 9000))  # hours ago
    one = max(path.stat().st_size for path in kept_files(tmp_path))
    other = tmp_path / "ab" / "mine.txt"
    other.parent.mkdir(exist_ok=True)
    other.write_text("not ours")
    bound = {"frames_gb": 2.9 * one / 1e9}
    assert np.array_equal(reader(world, tmp_path, **bound)(CLIPS[0]), seen[0]), "it was read just now"
    for clip in CLIPS[2:]:
        reader(world, tmp_path, **bound)(clip)
        assert usage(tmp_path) <= 2.9 * one
    hashes = said(world)
    gone = ClipFrames(VideoSection(frames=tmp_path), {}, hashes)
    assert np.array_equal(gone(CLIPS[0]), seen[0])
    with pytest.raises(LongVPOError):
        gone(CLIPS[1])
    assert other.is_file()


def test_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    left = [tmp_path / "00" / f"{name}.1.2.unfinished" for name in ("old", "new")]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"part")
    os.utime(left[0], (0, time.time() - 9000))
    shrink(tmp_path, 0)
    assert [path.exists() for path in left] == [False, True]


FILL = """
import sys
from pathlib import Path
import numpy as np
from longvpo.recipe.sections import VideoSection
from longvpo.video.frames import ClipFrames

def fill(world, folder, limit):
    section = VideoSection(frames=folder, frames_gb=limit, cache_gb=1e-9)
    frames_of = ClipFrames(section, {"drawn": Path(world)})
    found = []
    for place in np.random.default_rng(0).integers(0, 4, 40):
        clip = {"source": "drawn", "video": f"videos/{place:05d}.mp4", "start": 0.0, "end": 4.0}
        found += [frames_of(clip).mean(), frames_of(clip, np.array([1, 3])).mean()]
    return found
"""


def test_processes_and_threads_write_and_evict_at_once(world: Path, tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(FILL, names)
    alone = names["fill"](world, tmp_path / "alone", 1.0)
    limit = 2.5 * kept_files(tmp_path / "alone")[0].stat().st_size / 1e9
    code = f"{FILL}\nprint(*fill({str(world)!r}, {str(tmp_path / 'all')!r}, {limit}))"
    others = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        ours = [threads.submit(names["fill"], world, tmp_path / "all", limit) for _ in range(2)]
        assert [one.result() for one in ours] == [alone] * 2
    assert [[*map(float, other.communicate()[0].split())] for other in others] == [alone] * 2
    shrink(tmp_path / "all", limit * 1e9)
    assert usage(tmp_path / "all") <= limit * 1e9


def test_a_folder_that_cannot_be_written_ends_no_run(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    frames_of = reader(world, tmp_path / "file")
    assert [len(frames_of(clip)) for clip in CLIPS[:2]] == [4, 4]
    assert capsys.readouterr().err.count("frames cannot be kept in") == 1


def test_bad_videos_are_as_bad_with_a_store(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_bytes(b"this is no video\n" * 50)
    clip = {"source": "drawn", "video": "text.mp4", "start": 0.0, "end": 4.0}
    for name in ("text.mp4", "missing.mp4", "../out.mp4"):
        with pytest.raises(VideoError):
            reader(tmp_path, tmp_path / "kept")(clip | {"video": name})
    assert not (tmp_path / "kept").exists()


def test_published_pictures_are_those_that_are_kept(world: Path, tmp_path: Path) -> None:
    for quality, expected in ((75, 75), (90, 90), (None, 90)):
        frames_of = reader(world, tmp_path, frames_quality=quality)
        assert frames_of.pictures(CLIPS[0]) == encoded(reader(world, None)(CLIPS[0]), expected)
        times = sample_times(0.0, 4.0, 1.0, 64)
        kept = KeptFrames(tmp_path, frames_of.section).read(file_hash(world / CLIPS[0]["video"]), times)
        assert quality is None or kept == frames_of.pictures(CLIPS[0])
