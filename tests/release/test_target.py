"""Where a release goes, and who may publish there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import HfApi
from support.hub.looks import ALICE, LOAD, error_of, stranger
from support.hub.pushes import Pushes, environment

from longvpo.release import target

pytestmark = pytest.mark.usefixtures("online")


def test_visibility_is_what_was_asked_for(pushes: Pushes, first: Path, tmp_path: Path) -> None:
    for options, private in (([], True), (["--public"], False), ([], False), (["--private"], True)):
        tag = f"v{len(pushes.state().get('datasets/alice/seen', {'tags': []})['tags'])}.0"
        code, said = pushes.run("push", first, "--repo-id", "seen", "--tag", tag, *options, token=ALICE + "seen")
        assert code == 0, said
        assert pushes.state()["datasets/alice/seen"]["private"] == private
    pushes.run("push", first, "--repo-id", "open", "--public", token=ALICE + "open")
    read = stranger(pushes, tmp_path, LOAD, "alice/open", '{"v0.1.0": ["stage1"]}', False, token=None)
    assert len(read["v0.1.0"]["stage1"]) == 40


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
        (ALICE, ["sources.0.license=apache2"], [], "sources.0.license: apache2 is not a licence id of the Hub"),
        (ALICE, ["sources.0.license=unknown"], [], "sources.0.license is not stated: say under which"),
        (ALICE, ["license=cc-by-4"], [], "license: cc-by-4 is not a licence id of the Hub (did you mean cc-by-4.0?)"),
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


def test_a_repository_is_looked_at_in_one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that lands between two looks at main would make its files those of a stranger."""
    looked_at: list[str] = []
    main = SimpleNamespace(name="main", target_commit="a" * 40)
    monkeypatch.setattr(HfApi, "list_repo_refs", lambda *_, **__: SimpleNamespace(tags=[], branches=[main]))
    monkeypatch.setattr(target, "_who_am_i", lambda: {"name": "alice"})
    monkeypatch.setattr(target, "_check_rights", lambda *_: None)
    monkeypatch.setattr(target, "read_file", lambda *given: looked_at.append(given[-1]))
    monkeypatch.setattr(target, "tree_of", lambda *given: looked_at.append(given[-1]) or {})
    target.check_push(target.Target("dataset", "mine", "v0.1.0"), "recipe")
    assert len(looked_at) > 1
    assert set(looked_at) == {main.target_commit}
