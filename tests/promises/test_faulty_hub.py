"""Releases against a Hub on this machine: what strangers read at a tag, and what a fault, a kill or a race leaves."""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest
from support.hub.looks import ALICE, whole
from support.hub.pushes import Pushes
from support.world import TWO_SIZES

from longvpo.io.files import RELEASE
from longvpo.release.cards import kind_of

KINDS = ("429", "500", "503", "reset", "lost", "slow")
RACERS = 3


def checked(pushes: Pushes, folder: Path, run: str, repo: str, again: bool) -> str:
    """Push with a fault set, look, push again; returns what the first push came to.

    Args:
        again: push again after a success, too.
    """
    kind = "models" if kind_of(folder) == "model" else "datasets"
    prefix = "datasets/" if kind == "datasets" else "models/"
    code, said = pushes.run("push", folder, "--repo-id", repo, token=ALICE + run)
    fired = pushes.control(run)["fired"]
    assert "Traceback" not in said, said
    name = f"{prefix}alice/{repo}"
    there = whole(pushes, name, "v0.1.0", folder)
    assert code in (0, 1), said
    assert there or code == 1, said
    assert code == 0 or len([line for line in said.splitlines() if line.startswith("error: ")]) == 1, said
    before = pushes.state().get(name)
    if code or again:
        code_again, said = pushes.run("push", folder, "--repo-id", repo, token=ALICE + run)
        assert code_again == 0, said
    state = pushes.state()[name]
    assert whole(pushes, name, "v0.1.0", folder)
    assert state["tags"]["v0.1.0"] == state["commits"][0], "no commit that the tag does not need"
    assert len(state["commits"]) == 2, "one release is one commit"
    assert not there or before == state, "what is whole stays"
    if not fired:
        return "that request did not come"
    return "released" if code == 0 else "tagged, then an error" if there else "an error, no tag"


def faults(requests: list[str], soak: bool, what: str) -> list[tuple[str, int]]:
    """Every kind at every request; or one kind at each, and two kinds at each way that a dataset is written.

    Several files are written in one way: one of them meets both.
    """
    places = range(1, len(requests) + 1)
    if soak:
        return [(kind, at) for kind in KINDS for at in places]
    ways = {re.sub(r"[0-9a-f]{40,}", "", one): at for at, one in enumerate(requests, 1)}
    writing = [at for one, at in ways.items() if what == "dataset" and not one.startswith(("GET", "HEAD"))]
    return sorted({*((KINDS[at % len(KINDS)], at) for at in places), *product(("500", "lost"), writing)})


@TWO_SIZES
@pytest.mark.parametrize("what", ["dataset", "adapter"])
def test_a_fault_at_any_request_leaves_a_whole_tag_or_none(
    what: str, soak: bool, pushes: Pushes, first: Path, adapter: Path
) -> None:
    folder, name = first if what == "dataset" else adapter, f"{what}{soak}"
    assert pushes.run("push", folder, "--repo-id", f"clean-{name}", token=f"{ALICE}clean{name}")[0] == 0
    requests = pushes.control(f"clean{name}")["requests"]

    def one(kind: str, at: int) -> str:
        run = f"{name}x{kind}x{at}"
        pushes.control(run, at=at, kind=kind)
        return checked(pushes, folder, run, f"fault-{name}-{kind}-{at}", again=soak)

    cases = faults(requests, soak, what)
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda case: one(*case), cases))
    counts = {kind: dict(Counter(end for (k, _), end in zip(cases, ends, strict=True) if k == kind)) for kind in KINDS}
    print(f"\n{what}: {len(requests)} requests, {len(cases)} faults: {json.dumps(counts)}")
    assert {at for _, at in cases} == set(range(1, len(requests) + 1))
    assert len(cases) - Counter(ends)["that request did not come"] > 0.97 * len(cases)
    assert len(cases) > 100 or not soak
    assert Counter(ends)["released"] > 0.95 * len(cases), "one fault is not a reason to fail"


@TWO_SIZES
def test_a_kill_at_any_moment_leaves_a_whole_tag_or_none(soak: bool, pushes: Pushes, second: Path) -> None:
    draw, kills, calm = random.Random(0), 20 if soak else 4, f"unkilled{soak}"
    assert pushes.run("push", second, "--repo-id", calm, token=ALICE + calm)[0] == 0
    requests = pushes.control(calm)["requests"]
    commit, tag = (next(n for n, one in enumerate(requests, 1) if part in one) for part in ("/commit/", "/tag/"))
    moments: Counter[str] = Counter()
    for number in range(kills):
        run, repo = f"kill{number}{soak}", f"kill-{number}-{soak}"
        name = f"datasets/alice/{repo}"
        # while it waits for a reply: to the commit, to the tag, to a request before them, and to any
        target = (commit, tag, draw.randrange(1, commit), draw.randint(1, len(requests)))[number % 4]
        pushes.control(run, kind="late", at=target)
        command = pushes.start("push", second, "--repo-id", repo, token=ALICE + run)
        while len(pushes.control(run)["requests"]) < target and command.process.is_alive():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.3))
        command.process.kill()
        command.process.join()
        there = whole(pushes, name, "v0.1.0", second)
        commits = len((pushes.state().get(name) or {"commits": []})["commits"])
        moments["tagged" if there else f"no tag, {max(commits - 1, 0)} commits"] += 1
        code, said = pushes.run("push", second, "--repo-id", repo, token=f"{ALICE}after{run}")
        assert code == 0, said
        assert whole(pushes, name, "v0.1.0", second)
        assert len(pushes.state()[name]["commits"]) == 2, "what a kill left was taken up"
    print(f"\n{kills} kills: {json.dumps(moments)}")
    assert set(moments) == {"no tag, 0 commits", "no tag, 1 commits", "tagged"}


@TWO_SIZES
def test_of_racing_releasers_one_wins_and_the_others_say_so(
    soak: bool, pushes: Pushes, first: Path, tmp_path: Path
) -> None:
    contenders, races = [], 6 if soak else 2
    for number in range(RACERS):
        folder = Path(shutil.copytree(first, tmp_path / f"racer{number}"))
        facts = json.loads((folder / "facts.json").read_text())
        (folder / "facts.json").write_text(json.dumps(facts | {"name": f"of racer {number}"}))
        contenders.append(folder)
    ends: Counter[str] = Counter()
    for race in range(races):
        repo = f"race-{race}-{soak}"
        started = [
            pushes.start("push", folder, "--repo-id", repo, token=f"{ALICE}race{race}x{number}x{soak}")
            for number, folder in enumerate(contenders)
        ]
        codes, texts = zip(*(command.end() for command in started), strict=True)
        assert sorted(codes) == [0, 1, 1], texts
        for code, text in zip(codes, texts, strict=True):
            if code == 1:
                (error,) = [line for line in text.splitlines() if line.startswith("error: ")]
                assert re.search(r"nothing (of v0\.1\.0 )?was published", error, re.IGNORECASE)
                ends[error.split(":")[1].split(" alice")[0].split(" of datasets")[0].strip()] += 1
        state = pushes.state()[f"datasets/alice/{repo}"]
        assert len(state["commits"]) == 2, "the losers published nothing"
        winner = contenders[codes.index(0)]
        assert state["tags"] == {"v0.1.0": json.loads((winner / RELEASE).read_text())["commit"]}
    print(f"\n{races} races of {RACERS}; what the losers were told: {json.dumps(ends)}")


SOAKED = ("429", "503", "reset", "slow")


@pytest.mark.parametrize(
    "fault", [None, *(pytest.param(kind, marks=[pytest.mark.soak] * (kind in SOAKED)) for kind in KINDS)]
)
def test_a_large_release_is_staged_on_a_pull_request(fault: str | None, pushes: Pushes, second: Path) -> None:
    run, repo = f"large{fault or ''}", f"large-{fault}"
    if fault:
        if not pushes.control("large")["requests"]:
            pushes.run("push", second, "--repo-id", "large-calm", token=ALICE + "large", MANY=5)
        count = len(pushes.control("large")["requests"])
        at = random.Random(fault).randrange(count // 4, count * 3 // 4)
        pushes.control(run, at=at, kind=fault)
    code, said = pushes.run("push", second, "--repo-id", repo, token=ALICE + run, MANY=5)
    if code:  # what is on the pull request is taken up
        assert "Traceback" not in said
        assert "v0.1.0" not in pushes.state()[f"datasets/alice/{repo}"]["tags"]
        code, said = pushes.run("push", second, "--repo-id", repo, token=ALICE + run, MANY=5)
    assert code == 0, said
    state = pushes.state()[f"datasets/alice/{repo}"]
    assert whole(pushes, f"datasets/alice/{repo}", "v0.1.0", second)
    assert state["tags"]["v0.1.0"] == state["branches"]["main"]
    assert [one["status"] for one in state["prs"]] == ["merged"]
    code, said = pushes.run("push", second, "--repo-id", repo, token=ALICE + run, MANY=5)
    assert (code, "published before" in said) == (0, True), said
