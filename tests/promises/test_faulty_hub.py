"""Releases against a Hub on this machine: what strangers read at a tag, and what a fault, a kill or a race leaves."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.hub.pushes import Pushes, environment

from longvpo import TINY as TINY_FOLDER
from longvpo.dataset.run import build
from longvpo.io.files import RELEASE, file_hash
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.release.cards import kind_of
from longvpo.release.staging import changelog

KINDS = ("429", "500", "503", "reset", "lost", "slow")
KILLS = 20
RACERS = 3
ALICE = "hf_alice_write_"


@pytest.fixture(scope="module")
def first(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of forty triplets."""
    return Path(shutil.copytree(dataset, tmp_path_factory.mktemp("first") / "dataset"))


@pytest.fixture(scope="module")
def second(world: Path, stories: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another one under the same name, of both stages, with its frames."""
    folder = tmp_path_factory.mktemp("second") / "dataset"
    sources = [f"sources.0.folder={world}", f"stage2.sources.0.folder={stories}", "embed=frames", "seed=5"]
    small = ["stage1.triplets=30", "stage2.triplets=20", "context.clips=[2, 4]", "stage2.max_scenes=9"]
    build(load_recipe(DatasetRecipe, "tiny", [*sources, *small]), folder)
    return folder


@pytest.fixture(scope="module")
def adapter(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(trained, tmp_path_factory.mktemp("trained") / "adapter"))


def stranger(pushes: Pushes, home: Path, program: str, *arguments: object, token: str | None = ALICE + "s") -> Any:
    """What a program prints as JSON, in a process with an empty cache that does not import longvpo."""
    program = f"import json, sys\n{program}\nassert not [name for name in sys.modules if 'longvpo' in name]"
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
        env=environment(pushes.address, token, home),
        capture_output=True,
        text=True,
        cwd=Path(sys.executable).parent,  # a checkout in the current folder could be imported
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


LOAD = """
from datasets import load_dataset
repo, config, revision, streaming = sys.argv[1:5]
rows = load_dataset(repo, config, split="train", revision=revision, streaming=streaming == "True")
names = [name for name in rows.features if name != "frames"]
print(json.dumps([{name: row[name] for name in names} for row in rows]))
"""


def rows_of(folder: Path, config: str) -> list[dict[str, Any]]:
    """What the parquet files of a folder hold."""
    from pyarrow import parquet

    tables = [parquet.read_table(path) for path in sorted((folder / config).glob("*.parquet"))]
    return [
        row for table in tables for row in table.drop_columns([*({"frames"} & set(table.column_names))]).to_pylist()
    ]


def test_a_dataset_is_built_released_twice_and_read_by_a_stranger(
    pushes: Pushes, world: Path, second: Path, tmp_path: Path
) -> None:
    recipe = ["tiny", f"sources.0.folder={world}", "stage1.triplets=40", "context.clips=[1, 2, 4]", "stage2=null"]
    options = ["--repo-id", "twice", "--output", tmp_path / "built", "--push", "--json"]
    code, said = pushes.run("build-dataset", *recipe, *options, token=ALICE + "0")
    assert code == 0, said
    published = json.loads(next(line for line in said.splitlines() if line.startswith("{")))["published"]
    assert published | {"commit": ""} == {
        "repo_id": "alice/twice",
        "kind": "dataset",
        "tag": "v0.1.0",
        "commit": "",
        "new": True,
    }
    code, said = pushes.run("push", second, "--repo-id", "twice", "--tag", "v0.2.0", token=ALICE + "0")
    assert code == 0, said
    for revision, folder, configs in (
        ("v0.1.0", tmp_path / "built", ["stage1", "clips", "dropped"]),
        ("v0.2.0", second, ["stage1", "stage2", "scenes", "clips", "dropped"]),
    ):
        for streaming in (False, True):
            for config in configs if not streaming else configs[:2]:
                home = tmp_path / f"{revision}-{streaming}"
                read = stranger(pushes, home, LOAD, "alice/twice", config, revision, streaming)
                assert read == rows_of(folder, config), (revision, config)
    state = pushes.state()["datasets/alice/twice"]
    one, two = (state["trees"][state["tags"][tag]] for tag in ("v0.1.0", "v0.2.0"))
    assert len([path for path in two if path.startswith("stage1/")]) == 1, "the old file went with the same commit"
    assert set(one) - {path for path in one if path.endswith(".parquet")} <= set(two)
    assert state["private"], "a new repository is private"
    assert len(state["commits"]) == 3, "one for each release, after the Hub's own"
    # the same again does nothing, and other content under that tag is refused
    code, said = pushes.run("push", second, "--repo-id", "twice", "--tag", "v0.2.0", token=ALICE + "0")
    assert (code, "published before: alice/twice at v0.2.0" in said) == (0, True), said
    code, said = pushes.run("push", second, "--repo-id", "twice", "--tag", "v0.1.0", token=ALICE + "0")
    assert (code, "a tag never moves: give another --tag" in said) == (1, True), said
    assert pushes.state()["datasets/alice/twice"] == state


LOGITS = """
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

def logits(base, adapter, revision):
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter, **({"revision": revision} if revision else {}))
    with torch.no_grad():
        return model.eval()(**load_file(sys.argv[1])).logits[0, -1].tolist()

print(json.dumps([logits(*case) for case in json.loads(sys.argv[2])]))
"""


@pytest.fixture
def inputs(world: Path, tmp_path: Path) -> Path:
    """A question about a clip, as the tiny model takes it."""
    import numpy as np
    from safetensors.torch import save_file
    from support.world import TINY

    from longvpo.models.encode import encode
    from longvpo.models.load import load_processor
    from longvpo.video.frames import read_frames

    frames = read_frames(world / "videos" / "00000.mp4", np.arange(4) + 0.5)
    encoded = encode(load_processor(TINY), ["what color is the ring?"], [frames], 1.0)
    save_file({name: value.contiguous() for name, value in encoded.items()}, tmp_path / "inputs.safetensors")
    return tmp_path / "inputs.safetensors"


def test_an_adapter_is_trained_released_and_loaded_by_a_stranger(
    pushes: Pushes, first: Path, world: Path, inputs: Path, tmp_path: Path
) -> None:
    data = [f"data.dataset={first}", f"data.videos.drawn={world}", "training.max_steps=2"]
    options = ["--repo-id", "stage1", "--output", tmp_path / "out", "--push", "--collection", "All of it"]
    code, said = pushes.run("train", "tiny", *data, *options, token=ALICE + "1")
    assert code == 0, said
    assert "published: alice/stage1 at v0.1.0, commit " in said
    code, said = pushes.run("merge", tmp_path / "out")
    assert code == 0, said
    assert json.loads((tmp_path / "out-merged" / "facts.json").read_text())["name"] == "alice/stage1-merged"
    code, said = pushes.run("push", tmp_path / "out-merged", "--repo-id", "whole", token=ALICE + "1")
    assert code == 0, said
    code, said = pushes.run("push", first, "--repo-id", "data", "--collection", "All of it", token=ALICE + "1")
    assert code == 0, said
    cases = [
        (str(TINY_FOLDER), str(tmp_path / "out"), None),
        (str(TINY_FOLDER), "alice/stage1", "v0.1.0"),
        (str(TINY_FOLDER), None, None),
        ("alice/whole", None, None),
    ]
    here, there, base, merged = stranger(pushes, tmp_path / "home", LOGITS, inputs, json.dumps(cases))
    assert there == here
    assert there != base, "two steps changed something"
    assert merged == pytest.approx(here, abs=1e-4), "the base is not in NF4 there either"
    card = pushes.read("models/alice/whole", "v0.1.0", "README.md")
    assert 'AutoModelForImageTextToText.from_pretrained("alice/whole", revision="v0.1.0")' in card
    assert "PeftModel" not in card
    (collection,) = pushes.state()["collections"].values()
    assert [(item["type"], item["id"]) for item in collection["items"]] == [
        ("model", "alice/stage1"),
        ("dataset", "alice/data"),
    ]


def test_what_was_published_is_found_again(pushes: Pushes, first: Path, world: Path, tmp_path: Path) -> None:
    """Card, recipe and adapter name data that lie in a folder still or come from the Hub, and a base on the Hub."""
    folder = Path(shutil.copytree(first, tmp_path / "data"))
    code, said = pushes.run("push", folder, "--repo-id", "origin", token=ALICE + "2")
    assert code == 0, said
    commit = json.loads((folder / RELEASE).read_text())["commit"]
    upload = """
from huggingface_hub import create_repo, upload_folder
create_repo("base")
print(json.dumps(upload_folder(folder_path=sys.argv[1], repo_id="alice/base").oid))
"""
    base_commit = stranger(pushes, tmp_path / "home", upload, TINY_FOLDER)
    from_hub = ["data.dataset=alice/origin", "data.revision=v0.1.0", "base.model=alice/base", "base.license=mit"]
    for tag, data, base in (
        ("v0.1.0", [f"data.dataset={folder}"], ("tiny", "main")),
        ("v0.2.0", from_hub, ("alice/base", base_commit)),
    ):
        options = ["--repo-id", "trained", "--tag", tag, "--output", tmp_path / tag, "--push"]
        videos = [f"data.videos.drawn={world}", "training.max_steps=1"]
        code, said = pushes.run("train", "tiny", *data, *videos, *options, token=ALICE + "2")
        assert code == 0, said[-3000:]
        recipe, config, card, changes = (
            pushes.read("models/alice/trained", tag, name)
            for name in ("recipe.yaml", "adapter_config.json", "README.md", "CHANGELOG.md")
        )
        named = yaml.safe_load(recipe)["data"]
        assert (named["dataset"], named["revision"]) == ("alice/origin", "v0.1.0")
        pinned = json.loads(config)
        assert (pinned["base_model_name_or_path"], pinned["revision"]) == base
        assert f"| data | `alice/origin`, `v0.1.0`, commit `{commit}` |" in card
        assert "\ndatasets:\n- alice/origin\n" in card
    assert f'from_pretrained("alice/base", revision="{base_commit}")' in card
    assert "\nbase_model: alice/base\nbase_model_relation: adapter\n" in card
    assert "\n- base_model:adapter:alice/base\n" in card
    assert re.findall(r"## (v\S+)", changes) == ["v0.2.0", "v0.1.0"]


def whole(pushes: Pushes, name: str, tag: str, folder: Path) -> bool:
    """Whether the tag is there; then every file is as the release states it, and as it lies in the folder."""
    state = pushes.state().get(name)
    if state is None or tag not in state["tags"]:
        return False
    tree = state["trees"][state["tags"][tag]]
    stated = json.loads(pushes.read(name, tag, "provenance.json"))["files"]
    assert {"README.md", "CHANGELOG.md", "facts.json", "recipe.yaml"} < set(tree)
    assert {path: tree[path] for path in stated} == stated
    assert set(tree) - set(stated) == {".gitattributes", "README.md", "provenance.json", "CHANGELOG.md"}
    large = [
        path for path in folder.rglob("*") if path.suffix in (".parquet", ".safetensors") and "work" not in path.parts
    ]
    assert large
    assert {tree[str(path.relative_to(folder))] for path in large} == {file_hash(path) for path in large}
    return True


def checked(pushes: Pushes, folder: Path, run: str, repo: str) -> str:
    """Push with a fault set, look, push again; returns what the first push came to."""
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
    code_again, said = pushes.run("push", folder, "--repo-id", repo, token=ALICE + run)
    assert code_again == 0, said
    state = pushes.state()[name]
    assert whole(pushes, name, "v0.1.0", folder)
    assert state["tags"]["v0.1.0"] == state["commits"][0], "no commit that the tag does not need"
    assert len(state["commits"]) == 2, "one release is one commit"
    assert not there or before == state, "what is whole is left alone"
    if not fired:
        return "that request did not come"
    return "released" if code == 0 else "tagged, then an error" if there else "an error, no tag"


@pytest.mark.parametrize("what", ["dataset", "adapter"])
def test_a_fault_at_any_request_leaves_a_whole_tag_or_none(
    what: str, pushes: Pushes, first: Path, adapter: Path
) -> None:
    folder = first if what == "dataset" else adapter
    assert pushes.run("push", folder, "--repo-id", f"clean-{what}", token=f"{ALICE}clean{what}")[0] == 0
    requests = pushes.control(f"clean{what}")["requests"]

    def one(kind: str, at: int) -> str:
        run = f"{what}x{kind}x{at}"
        pushes.control(run, at=at, kind=kind)
        return checked(pushes, folder, run, f"fault-{what}-{kind}-{at}")

    cases = [(kind, at) for kind in KINDS for at in range(1, len(requests) + 1)]
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda case: one(*case), cases))
    counts = {kind: dict(Counter(end for (k, _), end in zip(cases, ends, strict=True) if k == kind)) for kind in KINDS}
    print(f"\n{what}: {len(requests)} requests, {len(cases)} faults: {json.dumps(counts)}")
    assert len(cases) - Counter(ends)["that request did not come"] > 0.97 * len(cases)
    assert len(cases) > 100
    assert Counter(ends)["released"] > 0.95 * len(cases), "one fault is no reason to fail"


def test_a_kill_at_any_moment_leaves_a_whole_tag_or_none(pushes: Pushes, second: Path) -> None:
    draw = random.Random(0)
    assert pushes.run("push", second, "--repo-id", "unkilled", token=ALICE + "unkilled")[0] == 0
    requests = pushes.control("unkilled")["requests"]
    commit, tag = (next(n for n, one in enumerate(requests, 1) if part in one) for part in ("/commit/", "/tag/"))
    moments: Counter[str] = Counter()
    for number in range(KILLS):
        run, name = f"kill{number}", f"datasets/alice/kill-{number}"
        # while it waits for a reply: to the commit, to the tag, to a request before them, and to any
        target = (commit, tag, draw.randrange(1, commit), draw.randint(1, len(requests)))[number % 4]
        pushes.control(run, kind="late", at=target)
        command = pushes.start("push", second, "--repo-id", f"kill-{number}", token=ALICE + run)
        while len(pushes.control(run)["requests"]) < target and command.process.is_alive():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.3))
        command.process.kill()
        command.process.join()
        there = whole(pushes, name, "v0.1.0", second)
        commits = len((pushes.state().get(name) or {"commits": []})["commits"])
        moments["tagged" if there else f"no tag, {max(commits - 1, 0)} commits"] += 1
        code, said = pushes.run("push", second, "--repo-id", f"kill-{number}", token=f"{ALICE}after{number}")
        assert code == 0, said
        assert whole(pushes, name, "v0.1.0", second)
        assert len(pushes.state()[name]["commits"]) == 2, "what a kill left was taken up"
    print(f"\n{KILLS} kills: {json.dumps(moments)}")
    assert set(moments) == {"no tag, 0 commits", "no tag, 1 commits", "tagged"}


def test_of_racing_releasers_one_wins_and_the_others_say_so(pushes: Pushes, first: Path, tmp_path: Path) -> None:
    contenders = []
    for number in range(RACERS):
        folder = Path(shutil.copytree(first, tmp_path / f"racer{number}"))
        facts = json.loads((folder / "facts.json").read_text())
        (folder / "facts.json").write_text(json.dumps(facts | {"name": f"of racer {number}"}))
        contenders.append(folder)
    ends: Counter[str] = Counter()
    for race in range(6):
        options = ["--repo-id", f"race-{race}"]
        started = [
            pushes.start("push", folder, *options, token=f"{ALICE}race{race}x{number}")
            for number, folder in enumerate(contenders)
        ]
        codes, texts = zip(*(command.end() for command in started), strict=True)
        assert sorted(codes) == [0, 1, 1], texts
        for code, text in zip(codes, texts, strict=True):
            if code == 1:
                (error,) = [line for line in text.splitlines() if line.startswith("error: ")]
                assert "nothing of v0.1.0 was published" in error or "nothing was published" in error
                ends[error.split(":")[1].split(" alice")[0].split(" of datasets")[0].strip()] += 1
        state = pushes.state()[f"datasets/alice/race-{race}"]
        assert len(state["commits"]) == 2, "the losers published nothing"
        winner = contenders[codes.index(0)]
        assert state["tags"] == {"v0.1.0": json.loads((winner / RELEASE).read_text())["commit"]}
    print(f"\n6 races of {RACERS}; what the losers were told: {json.dumps(ends)}")


@pytest.mark.parametrize("fault", [None, *KINDS])
def test_a_large_release_is_staged_on_a_pull_request(fault: str | None, pushes: Pushes, second: Path) -> None:
    run, repo = f"large{fault or ''}", f"large-{fault}"
    if fault:
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


def test_a_build_that_dropped_nothing_and_a_file_of_somebody_else(pushes: Pushes, first: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(first, tmp_path / "data"))
    shutil.rmtree(folder / "dropped")  # as of a build that dropped nothing
    code, said = pushes.run("push", folder, "--repo-id", "empty", token=ALICE + "empty")
    assert code == 0, said
    assert "nothing was dropped" in pushes.read("datasets/alice/empty", "v0.1.0", "README.md")
    upload = """
from huggingface_hub import upload_file
arguments = {"repo_id": "alice/empty", "repo_type": "dataset"}
print(json.dumps(upload_file(path_or_fileobj=b"mine", path_in_repo="NOTES.txt", **arguments).oid))
"""
    stranger(pushes, tmp_path / "home", upload)
    code, said = pushes.run("push", first, "--repo-id", "empty", "--tag", "v0.2.0", token=ALICE + "empty")
    assert code == 0, said
    state = pushes.state()["datasets/alice/empty"]
    one, two = (state["trees"][state["tags"][tag]] for tag in ("v0.1.0", "v0.2.0"))
    assert set(two) - set(one) == {"NOTES.txt"} | {path for path in two if path.startswith("dropped/")}
    assert len([path for path in two if path.startswith("dropped/")]) == 1, "ours went, theirs stayed"


def test_visibility_is_what_was_asked_for(pushes: Pushes, first: Path, tmp_path: Path) -> None:
    for options, private in (([], True), (["--public"], False), ([], False), (["--private"], True)):
        tag = f"v{len(pushes.state().get('datasets/alice/seen', {'tags': []})['tags'])}.0"
        code, said = pushes.run("push", first, "--repo-id", "seen", "--tag", tag, *options, token=ALICE + "seen")
        assert code == 0, said
        assert pushes.state()["datasets/alice/seen"]["private"] == private
    pushes.run("push", first, "--repo-id", "open", "--public", token=ALICE + "open")
    read = stranger(pushes, tmp_path, LOAD, "alice/open", "stage1", "v0.1.0", False, token=None)
    assert len(read) == 40


@pytest.mark.parametrize(
    ("token", "change", "options", "says"),
    [
        ("", [], [], "you are not logged in to the Hub: run `hf auth login`, or set HF_TOKEN"),
        ("hf_wrong", [], [], "the Hub does not know you: "),
        ("hf_echo_token_of_mine", [], [], "the Hub does not know you: "),
        ("hf_alice_read_r", [], [], "your Hub token may only read: make one that may write"),
        ("hf_alice_fine_r", [], [], "your Hub token may not write to datasets/alice/longvpo-tiny: give it"),
        (ALICE, [], ["--repo-id", "you/data"], "you is not yours: publish as one of alice, alice-lab, with --repo-id"),
        (ALICE, [], ["--repo-id", "alice/my data"], "--repo-id alice/my data: "),
        (ALICE, [], ["--tag", "v 1"], "--tag v 1: give letters, digits"),
        (ALICE, [], ["--tag", "main"], "--tag main: give letters, digits"),
        (ALICE, ["sources.0.license=apache2"], [], "sources.0.license: apache2 is no licence id of the Hub"),
        (ALICE, ["sources.0.license=unknown"], [], "sources.0.license is not stated: say under which"),
        (ALICE, ["license=cc-by-4"], [], "license: cc-by-4 is no licence id of the Hub (did you mean cc-by-4.0?)"),
        (ALICE, ["seed=7"], ["--repo-id", "taken"], "datasets/alice/taken has a release v0.1.0 already, of another"),
        (ALICE, [], ["--repo-id", "theirs"], "datasets/alice/theirs holds something that longvpo did not publish"),
    ],
)
def test_refused_before_any_work(
    token: str,
    change: list[str],
    options: list[str],
    says: str,
    pushes: Pushes,
    first: Path,
    world: Path,
    tmp_path: Path,
) -> None:
    if "taken" in options:
        assert pushes.run("push", first, "--repo-id", "taken", token=ALICE + "t")[0] == 0
    if "theirs" in options:
        program = """
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("theirs", repo_type="dataset", exist_ok=True)
api.upload_file(path_or_fileobj=b"1", path_in_repo="a.csv", repo_id="alice/theirs", repo_type="dataset")
print(1)
"""
        stranger(pushes, tmp_path / "home", program)
    output = tmp_path / "out"
    command = [sys.executable, "-m", "longvpo", "build-dataset", "tiny", f"sources.0.folder={world}", "stage2=null"]
    command += ["writer.endpoint={url: http://127.0.0.1:1/v1}", *change, "--push", "--output", str(output), *options]
    said = environment(pushes.address, token + "refused" if token == ALICE else token, tmp_path / "home")
    ended = subprocess.run(command, env=said, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"error: {says}"), ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not token or token not in ended.stderr
    assert not output.exists()


def test_an_organisation_a_fine_grained_token_and_a_dry_run(pushes: Pushes, first: Path, world: Path) -> None:
    code, said = pushes.run("push", first, "--repo-id", "alice-lab/data", token=ALICE + "org")
    assert code == 0, said
    code, said = pushes.run("push", first, "--repo-id", "fine", token="hf_alice_fine_w1")
    assert code == 0, said
    recipe = ["tiny", f"sources.0.folder={world}", "stage2=null", "stage1.triplets=4", "context.clips=[2]"]
    repositories = set(pushes.state())
    code, said = pushes.run("build-dataset", *recipe, "--push", "--dry-run", "--json", token=ALICE + "dry")
    assert code == 0, said
    plan = json.loads(said.splitlines()[-1])
    assert (plan["push"], plan["tag"]) == ("alice/longvpo-tiny", "v0.1.0")
    assert set(pushes.state()) == repositories, "nothing was made"


def test_an_adapter_without_a_licence_is_refused_before_training(pushes: Pushes, first: Path, world: Path) -> None:
    data = [f"data.dataset={first}", f"data.videos.drawn={world}", "base.license=unknown"]
    code, said = pushes.run("train", "tiny", *data, "--push", token=ALICE + "nolicense")
    assert (code, "error: base.license is not stated: say under which licence" in said) == (1, True), said


def test_no_token_and_no_path_of_this_machine_is_published(pushes: Pushes, first: Path) -> None:
    token = ALICE + "secret"
    code, said = pushes.run("push", first, "--repo-id", "clean", token=token)
    assert code == 0
    assert token not in said
    for path, sha256 in next(iter(pushes.state()["datasets/alice/clean"]["trees"].values())).items():
        content = (pushes.folder / "hub" / "objects" / sha256).read_bytes()
        assert token.encode() not in content, path
        assert str(first.parent).encode() not in content, path
        assert b"/world0" not in content, path


def test_results_and_scores_on_benchmarks_are_published(
    pushes: Pushes, first: Path, adapter: Path, test_world: Path, tmp_path: Path
) -> None:
    from longvpo.evaluation.run import evaluate
    from longvpo.recipe.evaluation import EvaluateRecipe

    small = [f"source.folder={test_world}", "multi=null", "grid.clips=[1, 2]", "grid.questions=2"]
    found = tmp_path / "results"
    results = evaluate(load_recipe(EvaluateRecipe, "tiny", small), found, {"adapter": adapter})
    score = {"dataset": {"id": "someone/bench", "task_id": "mcq"}, "value": 61.5, "notes": "64 frames"}
    (found / "benchmarks.yaml").write_text(yaml.safe_dump([score]))
    command = ["push", adapter, "--repo-id", "evaluated"]
    code, said = pushes.run(*command, "--results", found, token=ALICE + "results")
    assert code == 0, said
    state = pushes.state()["models/alice/evaluated"]
    assert {"results.json", "heat_map.png", ".eval_results/longvpo.yaml"} < set(state["trees"][state["commits"][0]])
    read = """
from huggingface_hub import hf_hub_download, parse_eval_result_entries
import yaml
scores = open(hf_hub_download("alice/evaluated", ".eval_results/longvpo.yaml", revision="v0.1.0"))
(score,) = parse_eval_result_entries(yaml.safe_load(scores))
card = open(hf_hub_download("alice/evaluated", "README.md", revision="v0.1.0")).read()
print(json.dumps([score.dataset_id, score.task_id, score.value, score.notes, card]))
"""
    *entry, card = stranger(pushes, tmp_path / "home", read)
    assert entry == ["someone/bench", "mcq", 61.5, "64 frames"]
    assert f"| **adapter** (this one) | {results['needle']['adapter']['1']:.1f} (" in card
    assert "see [.eval_results](.eval_results/longvpo.yaml)" in card

    broken = Path(shutil.copytree(found, tmp_path / "broken"))
    (broken / "benchmarks.yaml").write_text("- dataset: {id: someone/bench}\n  value: 3\n")
    other = Path(shutil.copytree(found, tmp_path / "other"))
    (other / "results.json").write_text(json.dumps(results | {"adapters": {"adapter": "0" * 64}}))
    for more, says in (
        ([adapter, "--results", broken], "is no list of benchmark scores (KeyError: 'task_id'): give entries with"),
        ([adapter, "--results", other], "results.json is of other adapters: evaluate this one"),
        ([adapter, "--results", adapter], "holds no results: it has no results.json"),
        ([first, "--results", found], "holds a dataset: --results is of adapters"),
        ([found], "holds no finished dataset or adapter: it has no facts.json"),
        ([tmp_path / "nothing"], "holds no finished dataset or adapter: it has no facts.json"),
    ):
        code, said = pushes.run("push", *more, "--repo-id", "refused", token=ALICE + "wrong")
        (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
        assert (code, says in error) == (1, True), said
    assert "models/alice/refused" not in pushes.state(), "nothing is made of what cannot be published"


def test_the_changelog_keeps_what_is_there() -> None:
    facts = {"stage1": {"triplets": 1200}, "stage2": None, "recipe": "abc"}
    one = changelog("", "v0.1.0", facts)
    two = changelog(one, "v0.2.0", facts)
    assert one.startswith("# Changelog\n\n## v0.1.0 (2")
    assert "- 1,200 triplets of stage1; recipe `abc`\n" in one
    assert two.endswith(one.partition("\n\n")[2])
    assert [line[:9] for line in two.splitlines() if line.startswith("## ")] == ["## v0.2.0", "## v0.1.0"]
    assert changelog(two, "v0.1.0", facts) == two
