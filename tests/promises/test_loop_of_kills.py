"""Build, kill, resume, train, kill, resume, push with faults, evaluate, again and again.

Nothing is lost, nothing comes twice, and nothing is left behind.

`make soak` goes on for 30 minutes, or for as many as LONGVPO_SOAK_MINUTES says; LONGVPO_SOAK_SEED draws other moments.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.forked import Forge
from support.hub.looks import ALICE, whole
from support.hub.pushes import Pushes
from support.leftovers import adopt, descendants, held, left_in_memory, left_running, names, segments
from support.scribe import content
from support.trainings import logged
from support.world import TESTS

from longvpo.io.files import RELEASE, file_hash
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.video.kept import HOUR, shrink

MINUTES, SEED = float(os.environ.get("LONGVPO_SOAK_MINUTES", "30")), int(os.environ.get("LONGVPO_SOAK_SEED", "0"))
BATCH = 8  # requests that are asked together
KILLS = 3  # of a command, at most
FAULTS = ("429", "500", "503", "reset", "lost", "slow")
REQUESTS = {"dataset": 47, "adapter": 26}  # of a release
ROUNDS = 4  # of all commands in one process


def commands(clips: Path, films: Path, test: Path, here: Path) -> dict[str, list[str]]:
    """Each command of the loop; a round of them takes some ten seconds."""
    video = f"video.frames={here / 'frames'}"
    data = [f"data.dataset={here / 'dataset'}", f"data.videos={{drawn: {clips}, stories: {films}}}"]
    steps = ("max_steps=5", "save_strategy=steps", "save_steps=1", "save_total_limit=2", "dataloader_num_workers=1")
    batches = ("per_device_train_batch_size=2", "gradient_accumulation_steps=1", "warmup_steps=0", "logging_steps=1")
    small = [f"writer.batch_size={BATCH}", "stage1.triplets=24", "context.clips=[1, 2, 4]", "video.cache_gb=0.03"]
    small += ["stage2.triplets=6", "stage2.max_scenes=6", "text_only=12"]
    grid = ["grid.clips=[1, 4]", "grid.depths=2", "grid.questions=4", "source.clips=16", f"batch_size={BATCH}"]
    return {
        "build": [
            *("build-dataset", "tiny", f"sources.0.folder={clips}", f"stage2.sources.0.folder={films}", video, *small),
            *("--output", str(here / "dataset")),
        ],
        "train": [
            *("train", "tiny/stage1", *data, video, "lora.lora_dropout=0.1", "training.disable_dropout=false"),
            *(f"training.{one}" for one in (*steps, *batches)),
            *("--output", str(here / "adapter")),
        ],
        "evaluate": [
            *("evaluate", "tiny", f"source.folder={test}", "multi=null", video, *grid),
            *(f"triplets.dataset={here / 'dataset'}", f"triplets.videos={{drawn: {clips}}}", "triplets.rows=6"),
            *("--adapter", str(here / "adapter"), "--output", str(here / "results")),
        ],
    }


def made(here: Path) -> dict[str, Any]:
    """What must be equal, however often it was killed."""
    results = json.loads((here / "results" / "results.json").read_text())
    del results["seconds"]
    return {
        "dataset": content(here / "dataset"),
        "adapter": file_hash(here / "adapter" / ADAPTER_WEIGHTS),
        "curves": logged(here / "adapter"),
        "results": results,
        "answers": file_hash(here / "results" / "answers.jsonl"),
    }


def give_up_unfinished(frames: Path) -> int:
    """What kills left among the kept frames is taken for another machine's work for an hour; that hour passes."""
    left = [*frames.glob("*/*.unfinished")]
    for path in left:
        os.utime(path, (time.time() - 2 * HOUR,) * 2)
    shrink(frames, float("inf"))
    return len(left)


def fresh(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "tmp").mkdir(parents=True)


def published(pushes: Pushes, folder: Path, repo: str, draw: random.Random) -> Counter[str]:
    """Push with a fault, now and then killed, until it says that it is done; what happened is counted."""
    counts, run, what = Counter[str](), repo.replace("-", "x"), repo.split("-")[0]
    name = f"{'models' if what == 'adapter' else 'datasets'}/alice/{repo}"
    pushes.control(run, at=draw.randint(1, REQUESTS[what]), kind=draw.choice(FAULTS))
    command = pushes.start("push", folder, "--repo-id", repo, token=ALICE + run)
    if draw.random() < 0.5:
        time.sleep(draw.uniform(0, 3))
        command.process.kill()
    code, said = command.end()
    counts.update({f"push: {'killed' if code == -9 else code}": 1, "faults": int(pushes.control(run)["fired"])})
    assert whole(pushes, name, "v0.1.0", folder) or code, said
    while code != 0:
        counts["pushed again"] += 1
        assert counts["pushed again"] < 3, said
        code, said = pushes.run("push", folder, "--repo-id", repo, token=ALICE + run)
    assert whole(pushes, name, "v0.1.0", folder)
    state = pushes.state()[name]
    assert len(state["commits"]) == 2, "one release is one commit"
    assert state["tags"] == {"v0.1.0": state["commits"][0]}
    (folder / RELEASE).unlink()  # it says when and where, and the round's result is compared with the first one's
    return counts


@pytest.mark.soak
def test_a_loop_of_kills_loses_nothing_does_nothing_twice_and_leaves_nothing_behind(
    forged: Forge,
    pushes: Pushes,
    world: Path,
    stories: Path,
    test_world: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    draw, counts = random.Random(SEED), Counter[str]()
    tmp_path = tmp_path_factory.mktemp("loop")  # a short name: those of sockets have a bound
    here, watched = tmp_path / "here", tmp_path / "watched"
    lines = commands(world, stories, test_world, here)
    options = {"patch": str(TESTS / "support/patches/watched.py"), "environment": {"WATCHED": str(watched)}}

    def ended(name: str, **more: Any) -> dict[str, Any]:
        found = forged(lines[name], tmp_path / "log", **options, **more)
        assert found["left"] == [], f"{name}, {more}"
        assert found["codes"] in ([0], *([[-9]] if more else ())), (tmp_path / "log.0.err").read_text()
        return found

    fresh(here, watched)
    seconds = {name: ended(name)["seconds"] for name in lines}
    expected, there = made(here), names(tmp_path)
    once = Counter((watched / "asked").read_text().splitlines())
    shared, before = segments(), held()
    adopt()
    known = set(descendants())

    until = time.monotonic() + 60 * MINUTES
    while time.monotonic() < until:
        fresh(here, watched)
        kills = 0
        for name in lines:
            for _ in range(draw.randint(1, KILLS)):
                found = ended(name, after=draw.uniform(0.02, 0.8) * seconds[name], alone=draw.random() < 0.5)
                counts[f"{name}: {'killed' if found['codes'] == [-9] else 'had ended'}"] += 1
                kills += found["codes"] == [-9]
            ended(name)
            for what in ("dataset", "adapter") if name == "train" else ():
                counts.update(published(pushes, here / what, f"{what}-{SEED}-{counts['rounds']}", draw))
        counts["kept frames cut short, which go after an hour"] += give_up_unfinished(here / "frames")
        for what, one in made(here).items():
            assert one == expected[what], "nothing is lost"
        asked = Counter((watched / "asked").read_text().splitlines())
        assert set(asked) == set(once)
        again = asked.total() - once.total()
        assert again <= BATCH * kills, "what is asked twice was in flight"
        assert sorted(names(tmp_path) ^ there) == [], "no file and no folder is left"
        assert names(pushes.folder / "tmp") == set()
        assert (left_running(known), left_in_memory(shared)) == ([], [])
        counts.update({"asked": asked.total(), "asked twice, in flight": again, "rounds": 1})
        print(json.dumps(counts), flush=True)
    now = held()
    assert (now["sockets"], now["threads"]) == (before["sockets"], before["threads"])
    assert counts["rounds"] > 0


@pytest.mark.soak
def test_commands_in_one_process_leave_nothing_behind(
    forged: Forge, world: Path, stories: Path, test_world: Path, tmp_path: Path
) -> None:
    """Files, sockets, threads, processes and shared memory that one process holds do not grow from round to round."""
    watched = tmp_path / "watched"
    rounds = [[*commands(world, stories, test_world, tmp_path / str(one)).values()] for one in range(ROUNDS)]
    fresh(watched, *(tmp_path / str(one) for one in range(ROUNDS)))
    found = forged(
        [],
        tmp_path / "log",
        patch=str(TESTS / "support/patches/watched.py"),
        environment={"WATCHED": str(watched), "ROUNDS": json.dumps(rounds)},
    )
    assert (found["codes"], found["left"]) == ([0], []), (tmp_path / "log.0.err").read_text()
    print(found["seconds"], *json.loads((watched / "held").read_text()), sep="\n")
    first, *_, last = json.loads((watched / "held").read_text())[1:]
    assert last == first
