"""A push with something in its way: files that change, cards by hand, rights, refusals, closed folders."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from support.hub.pushes import Pushes, environment
from support.world import ROOT

from longvpo.io.files import CARD_HASH, RELEASE

ALICE = "hf_alice_write_"


@pytest.fixture
def folder(dataset: Path, tmp_path: Path) -> Path:
    """A dataset to push."""
    return Path(shutil.copytree(dataset, tmp_path / "dataset"))


@pytest.fixture
def api(pushes: Pushes) -> HfApi:
    return HfApi(endpoint=pushes.address, token=ALICE + "hand")


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)


def error_of(said: str) -> str:
    assert "Traceback" not in said, said
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return error


def upload(api: HfApi, path: str, content: bytes, repo_id: str, kind: str = "dataset") -> None:
    api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=repo_id, repo_type=kind)


# files that change


def test_a_file_that_changes_at_any_moment_is_never_tagged_wrong(
    pushes: Pushes, trained: Path, tmp_path: Path
) -> None:
    """Ten moments of a push: weights, which are sent from where they lie, and a template, which is copied before."""
    calm = Path(shutil.copytree(trained, tmp_path / "calm"))
    assert pushes.run("push", calm, "--repo-id", "calm", token=ALICE + "calm", COPIED=0)[0] == 0
    requests = pushes.control("calm")["requests"]
    places = [next(n for n, one in enumerate(requests, 1) if part in one) for part in MOMENTS]
    other = tmp_path / "other"
    content = bytearray((trained / "adapter_model.safetensors").read_bytes())
    content[-1] ^= 1
    other.mkdir()
    (other / "adapter_model.safetensors").write_bytes(content)  # of the same size
    (other / "chat_template.jinja").write_text("{{ other }}")

    def one(place: int, name: str) -> str:
        run = f"moment{place}{name[:2]}"
        folder = Path(shutil.copytree(trained, tmp_path / run))
        copied = {} if name.endswith("jinja") else {"COPIED": 0}
        pushes.control(run, at=place, kind="change", file=str(folder / name), by=str(other / name))
        code, said = pushes.run("push", folder, "--repo-id", run, token=ALICE + run, **copied)
        assert pushes.control(run)["fired"]
        state = pushes.state()[f"models/alice/{run}"]
        assert ("v0.1.0" in state["tags"]) == (code == 0), said
        if code:
            error = error_of(said)
            assert f"{name} changed while it was being published" in error, error
            assert "run the same command again when nothing writes there any more" in error
            assert pushes.run("push", folder, "--repo-id", run, token=ALICE + run, **copied)[0] == 0
            state = pushes.state()[f"models/alice/{run}"]
        tree = state["trees"][state["tags"]["v0.1.0"]]
        stated = json.loads(pushes.read(f"models/alice/{run}", "v0.1.0", "provenance.json"))["files"]
        assert {path: tree[path] for path in stated} == stated
        assert not code or tree[name] == hashlib.sha256((other / name).read_bytes()).hexdigest()
        return f"{name}: {'stopped, then released' if code else 'released as it was hashed'}"

    cases = [(place, "adapter_model.safetensors") for place in places] + [(places[4], "chat_template.jinja")]
    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(lambda case: one(*case), cases))
    print("\n" + "\n".join(ends))
    assert len(set(ends)) == 3


MOMENTS = (  # the requests in which a file changes
    *("whoami", "/refs", "/commits/", "validate-yaml", "/preupload/", "/objects/batch", "PUT /_upload", "/verify"),
    *("/commit/main", "/tag/"),
)


def test_a_file_that_is_deleted_under_a_push(pushes: Pushes, folder: Path) -> None:
    (shard,) = (folder / "stage1").iterdir()
    pushes.control("gone", at=4, kind="change", file=str(shard))
    code, said = pushes.run("push", folder, "--repo-id", "gone", token=ALICE + "gone", COPIED=0)
    assert (code, f"stage1/{shard.name} changed while it was being published" in error_of(said)) == (1, True)
    code, said = pushes.run("push", folder, "--repo-id", "gone", token=ALICE + "gone")
    assert (code, "stage1 holds 0 rows, and facts.json counts 40" in error_of(said)) == (1, True), said


# cards


def test_a_card_that_was_written_by_hand_is_not_overwritten_in_silence(
    pushes: Pushes, folder: Path, api: HfApi
) -> None:
    name = "datasets/alice/by-hand"

    def push(tag: str, *options: str) -> tuple[int | None, str]:
        code, said = pushes.run("push", folder, "--repo-id", "by-hand", "--tag", tag, *options, token=ALICE + "hand")
        return code, error_of(said) if code else said

    api.create_repo("by-hand", repo_type="dataset")
    upload(api, "README.md", b"# Mine\n", "alice/by-hand")
    code, said = push("v1")
    assert (code, "the README.md of datasets/alice/by-hand was written or edited by hand" in said) == (1, True)
    assert "--overwrite-card" in said
    assert pushes.read(name, "main", "README.md") == "# Mine\n"
    assert push("v1", "--overwrite-card")[0] == 0
    assert push("v2")[0] == 0, "the card of a release is longvpo's own"
    upload(api, "README.md", b"# Mine again\n", "alice/by-hand")
    assert push("v2")[0] == 0, "nothing is left to do"
    code, said = push("v3")
    assert (code, "--overwrite-card" in said) == (1, True)
    assert push("v3", "--overwrite-card")[0] == 0
    stated = json.loads(pushes.read(name, "v3", "provenance.json"))
    card = pushes.read(name, "v3", "README.md")
    assert stated.pop(CARD_HASH) == hashlib.sha256(card.encode()).hexdigest()
    # releases of before there was that hash: the card is the one of their tag, or it is by hand
    upload(api, "provenance.json", json.dumps(stated).encode(), "alice/by-hand")
    upload(api, "README.md", b"# Mine for good\n", "alice/by-hand")
    assert push("v4")[0] == 1
    upload(api, "README.md", card.encode(), "alice/by-hand")
    assert push("v4")[0] == 0


def test_a_card_that_was_edited_in_its_folder(pushes: Pushes, folder: Path) -> None:
    card = folder / "README.md"
    rendered = card.read_text()
    card.write_text(f"{rendered}\nMy own words.\n")
    for command in (["push", folder, "--repo-id", "edited"], ["card", folder]):
        code, said = pushes.run(*command, token=ALICE + "edited")
        error = error_of(said)
        assert (code, f"{card} was written or edited by hand: --overwrite-card" in error) == (1, True), said
        assert "My own words." in card.read_text()
    assert "datasets/alice/edited" not in pushes.state()
    assert pushes.run("push", folder, "--repo-id", "edited", "--overwrite-card", token=ALICE + "edited")[0] == 0
    assert "My own words." not in pushes.read("datasets/alice/edited", "v0.1.0", "README.md")
    assert pushes.run("card", folder, "--overwrite-card", token=ALICE + "edited")[0] == 0
    assert card.read_text() == rendered
    # a folder of before there was a hash, with the card as this version renders it
    made = json.loads((folder / "provenance.json").read_text())
    del made[CARD_HASH]
    (folder / "provenance.json").write_text(json.dumps(made))
    assert pushes.run("card", folder, token=ALICE + "edited")[0] == 0


# visibility and rights


def test_private_comes_before_the_commit_and_a_public_collection_is_public(
    pushes: Pushes, folder: Path, api: HfApi
) -> None:
    api.create_repo("veiled", repo_type="dataset", private=False)
    code, said = pushes.run("push", folder, "--repo-id", "veiled", "--private", token=ALICE + "veiled")
    assert code == 0, said
    requests = pushes.control("veiled")["requests"]
    order = [next(n for n, one in enumerate(requests) if part in one) for part in ("/settings", "/commit/")]
    assert order == sorted(order), requests
    api.create_repo("refused", repo_type="dataset", private=False)
    pushes.control("refused", at=order[0] + 1, kind="403", says=["You may not change the visibility"])
    code, said = pushes.run("push", folder, "--repo-id", "refused", "--private", token=ALICE + "refused")
    assert (code, "403 Forbidden: You may not change the visibility" in error_of(said)) == (1, True)
    state = pushes.state()["datasets/alice/refused"]
    assert [len(state["commits"]), state["tags"]] == [1, {}], "nothing was sent while it is public"
    options = ["--repo-id", "veiled", "--collection", "Shown"]
    assert pushes.run("push", folder, *options, token=ALICE + "veiled")[0] == 0

    def private() -> list[bool]:
        return [one["private"] for one in pushes.state()["collections"].values() if one["title"] == "Shown"]

    assert private() == [True]
    assert pushes.run("push", folder, *options, "--public", token=ALICE + "veiled")[0] == 0
    assert (private(), pushes.state()["datasets/alice/veiled"]["private"]) == ([False], False)
    options[-1] = "Shown at once"
    assert pushes.run("push", folder, *options, "--public", token=ALICE + "veiled")[0] == 0
    assert [one["private"] for one in pushes.state()["collections"].values() if one["title"] == "Shown at once"] == [
        False
    ]


def test_a_token_of_one_repository_and_an_organisation_that_may_be_read(
    pushes: Pushes, folder: Path, api: HfApi
) -> None:
    api.create_repo("scoped", repo_type="dataset")
    code, said = pushes.run("push", folder, "--repo-id", "scoped", token="hf_alice_fine_dataset-scoped")
    assert code == 0, said
    for token in ("hf_alice_fine_model-scoped", "hf_alice_fine_dataset-other"):
        code, said = pushes.run("push", folder, "--repo-id", "scoped", "--tag", "v2", token=token)
        assert (code, "your Hub token may not write to datasets/alice/scoped" in error_of(said)) == (1, True)
    code, said = pushes.run("push", folder, "--repo-id", "alice-readers/data", token=ALICE + "readers")
    assert (code, "alice-readers is an organisation in which you may only read" in error_of(said)) == (1, True)
    assert pushes.control("readers")["requests"] == ["GET /api/whoami-v2"]


# what the Hub refuses


@pytest.mark.parametrize(
    ("part", "fault", "says", "again"),
    [
        (
            "/preupload/",
            {"kind": "401", "says": ["Token expired"]},
            "401 Unauthorized: Token expired",
            "hf auth login",
        ),
        ("/commit/", {"kind": "403", "says": ["You are banned"]}, "403 Forbidden: You are banned", "the right to do"),
        (
            "objects/batch",
            {"kind": "403", "says": ["Private repository storage limit reached, upgrade your plan"]},
            "403 Forbidden: Private repository storage limit reached, upgrade your plan. Make room",
            "--public",
        ),
        ("/commit/", {"kind": "402", "says": ["Pay first"]}, "402 Payment Required: Pay first. Make room", "room"),
        (
            "/tag/",
            {"kind": "429", "says": ["Slow down"], "headers": {"Retry-After": "3600"}},
            "429 Too Many Requests: Slow down. The Hub asks for 60 minutes of rest",
            "run the same command again after them",
        ),
        (
            "/preupload/",  # which the client tries again by itself, after a rest as long
            {"kind": "429", "says": ["Later"], "headers": {"Retry-After": "7200"}},
            "429 Too Many Requests: Later. The Hub asks for 120 minutes of rest",
            "run the same command again after them",
        ),
        (
            "validate-yaml",
            {"kind": "400", "says": ['"license" must be one of [mit]', '"language" is odd']},
            'Invalid metadata in README.md: "license" must be one of [mit]; "language" is odd. Mend what',
            "the same command by itself cannot help",
        ),
        ("/commit/", {"kind": "413", "says": ["Too large"]}, "413 ", "The same command would fail again"),
    ],
)
def test_what_the_hub_refuses_is_told_with_what_can_help(
    part: str, fault: dict[str, Any], says: str, again: str, pushes: Pushes, folder: Path
) -> None:
    if "requests" not in CLEAN:
        assert pushes.run("push", folder, "--repo-id", "willing", token=ALICE + "willing")[0] == 0
        CLEAN["requests"] = pushes.control("willing")["requests"]
    at = next(n for n, one in enumerate(CLEAN["requests"], 1) if part in one)
    run = f"refuses{fault['kind']}{len(says)}"
    pushes.control(run, at=at, **fault)
    code, said = pushes.run("push", folder, "--repo-id", run, token=ALICE + run)
    error = error_of(said)
    assert code == 1
    assert says in error
    assert again in error.split(says)[-1] + says, error
    assert "v0.1.0" not in pushes.state()[f"datasets/alice/{run}"]["tags"]
    assert ("same command again" in error) == (fault["kind"] in ("401", "429"))


CLEAN: dict[str, list[str]] = {}  # the requests of a push that nothing is in the way of


@pytest.mark.parametrize(
    "tag", ["v1.", "v1.lock", "HEAD", "-x", "a..b", "@", "v1 ", "a/b", "v~1", "ä", "a" * 40, "v1\n"]
)
def test_a_tag_that_git_forbids_is_refused_before_any_request(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from longvpo.errors import LongVPOError
    from longvpo.release.target import Target, check_push

    monkeypatch.setattr("longvpo.release.target._who_am_i", lambda: pytest.fail("it asked"))
    with pytest.raises(LongVPOError, match=r"^--tag "):
        check_push(Target("dataset", "data", tag), "abc")


@pytest.mark.parametrize("character", ["\ufeff", "\u200b", "\x07", "é"])
@pytest.mark.parametrize("place", ["start", "middle"])
def test_a_token_that_cannot_be_sent(character: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from longvpo.errors import LongVPOError
    from longvpo.release.target import Target, check_push

    token = f"{character}hf_secret" if place == "start" else f"hf_{character}secret"
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(LongVPOError, match="your Hub token cannot be sent: character") as caught:
        check_push(Target("dataset", "data", "v1"), "abc")
    assert "secret" not in str(caught.value)


# folders


def test_nothing_can_be_written_at_home_and_a_folder_has_the_name_of_the_repository(
    pushes: Pushes, folder: Path, api: HfApi, tmp_path: Path
) -> None:
    """The look from outside reads the Hub; a push needs no cache, and no place for release.json; a changelog stays."""
    old = "# Änderungen\n\n- älter\n".encode("latin-1")
    upload_to = {"repo_id": "alice/closed", "repo_type": "dataset"}
    api.create_repo(**upload_to)
    (tmp_path / "alice" / "closed").mkdir(parents=True)
    (tmp_path / "alice" / "closed" / "closed.py").write_text("raise SystemExit")
    (tmp_path / "file").write_text("")
    (folder / RELEASE).mkdir()
    first = pushes.run("push", folder, "--repo-id", "closed", "--tag", "v0", token=ALICE + "home")
    assert first[0] == 0, first[1]
    upload(api, "CHANGELOG.md", old, "alice/closed")
    environ = environment(pushes.address, ALICE + "home", tmp_path / "file" / "home")
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "longvpo", "push", str(folder), "--repo-id", "closed"],
        env=environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    assert "release.json cannot be written" in ended.stderr
    assert "published: alice/closed at v0.1.0" in ended.stderr
    state = pushes.state()["datasets/alice/closed"]
    tree = state["trees"][state["tags"]["v0.1.0"]]
    changes = (pushes.folder / "hub" / "objects" / tree["CHANGELOG.md"]).read_bytes()
    assert changes.startswith("# Änderungen\n\n## v0.1.0".encode("latin-1"))
    assert changes.endswith("- älter\n".encode("latin-1"))


def test_a_killed_push_leaves_nothing_behind_for_long(pushes: Pushes, folder: Path) -> None:
    pushes.control("killed", at=4, kind="slow")
    command = pushes.start("push", folder, "--repo-id", "killed", token=ALICE + "killed")
    while len(pushes.control("killed")["requests"]) < 4 and command.process.is_alive():
        time.sleep(0.01)
    (left,) = [
        path.parent
        for path in Path(tempfile.gettempdir()).glob("longvpo-release-*/provenance.json")
        if '"alice/killed"' in path.read_text()
    ]
    command.process.kill()
    command.process.join()
    assert pushes.run("push", folder, "--repo-id", "killed", token=ALICE + "killed")[0] == 0
    assert not left.exists()


def test_the_folder_of_a_living_process_and_those_of_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from longvpo.io.temporary import own_folder

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "longvpo-other-1").mkdir()
    (tmp_path / "longvpo-release-link").symlink_to(tmp_path / "longvpo-other-1")
    (tmp_path / "longvpo-release-dead").mkdir()
    (tmp_path / "longvpo-release-dead" / "file").write_text("")
    with own_folder("release") as one, own_folder("release") as two:
        assert one != two
        assert one.is_dir()
        assert sorted(path.name for path in tmp_path.iterdir() if path not in (one, two)) == [
            "longvpo-other-1",
            "longvpo-release-link",
        ]
        monkeypatch.setattr("os.getuid", lambda: os.stat(tmp_path).st_uid + 1)
        (tmp_path / "longvpo-release-theirs").mkdir()
        with own_folder("release"):
            assert (tmp_path / "longvpo-release-theirs").is_dir()
    assert not one.exists()


def test_folders_that_are_made_at_the_same_time_are_not_taken_for_dead_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from longvpo.io.temporary import own_folder

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def use(number: int) -> None:
        for _ in range(40):
            with own_folder("read") as folder:
                (folder / "file").write_text(str(number))
                assert (folder / "file").read_text() == str(number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(use, range(6)))
    assert list(tmp_path.iterdir()) == []
