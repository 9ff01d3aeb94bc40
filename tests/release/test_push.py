"""A push with something in its way: files that change, cards by hand, rights, refusals, closed folders."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from support.hub.looks import ALICE, error_of, upload
from support.hub.pushes import Pushes, environment
from support.world import ROOT

from longvpo.io.files import CARD_HASH, RELEASE
from longvpo.release.words import outside, with_words, words_in

pytestmark = pytest.mark.usefixtures("online")


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
    assert stated.pop(CARD_HASH) == hashlib.sha256(outside(card).encode()).hexdigest()
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


def test_words_on_the_hub_are_kept_over_releases(
    pushes: Pushes, folder: Path, second: Path, api: HfApi, tmp_path: Path
) -> None:
    """Also those of a new build, whose folder has none; what was written here and there is not chosen in silence."""
    name = "datasets/alice/words"

    def push(path: Path, tag: str, *options: str) -> tuple[int | None, str]:
        code, said = pushes.run("push", path, "--repo-id", "words", "--tag", tag, *options, token=ALICE + "words")
        return code, error_of(said) if code else said

    def held(tag: str) -> str:
        return words_in(pushes.read(name, tag, "README.md"))

    def write_there(words: str) -> None:
        card = with_words(pushes.read(name, "main", "README.md"), words)
        upload(api, "README.md", card.encode(), "alice/words")

    assert push(folder, "v1")[0] == 0
    assert held("v1") == ""
    write_there("Ask **me**.")
    assert push(folder, "v1")[0] == 0, "nothing is left to do"
    assert push(folder, "v2")[0] == 0
    other = Path(shutil.copytree(second, tmp_path / "other"))
    assert push(other, "v3")[0] == 0
    assert (held("v2"), held("v3")) == ("Ask **me**.", "Ask **me**.")
    # words here take the place of those that a folder had, and of no others, however many releases have kept them
    card = other / "README.md"
    card.write_text(with_words(card.read_text(), "From here."))
    code, said = push(other, "v4")
    assert (code, "were edited there, and those of" in said) == (1, True)
    assert held("main") == "Ask **me**."
    assert push(other, "v4", "--overwrite-card")[0] == 0
    assert held("v4") == "From here."
    assert push(folder, "v4.1")[0] == 0, "it has no words, and keeps these"
    card.write_text(with_words(card.read_text(), "From here, and later."))
    assert push(other, "v4.2")[0] == 0
    assert held("v4.2") == "From here, and later."
    write_there("A comment is kept, too: <!-- mine -->")
    assert push(folder, "v4.3")[0] == push(folder, "v4.3")[0] == 0
    card.write_text(with_words(card.read_text(), held("v4.3")))
    assert push(other, "v4.4")[0] == 0, "both are the same"
    card.write_text(with_words(card.read_text(), "From here."))
    assert push(other, "v4.5")[0] == 0
    write_there("From there.")
    code, said = push(other, "v5")
    assert (code, "were edited there, and those of" in said) == (1, True)
    assert held("main") == "From there."
    assert push(other, "v5", "--overwrite-card")[0] == 0
    assert held("v5") == "From here."
    # the rest of the card is longvpo's: an edit there stops the push, with words or without
    upload(api, "README.md", f"{pushes.read(name, 'main', 'README.md')}More.\n".encode(), "alice/words")
    assert push(folder, "v6")[0] == 1
    assert push(folder, "v6", "--overwrite-card")[0] == 0
    assert held("v6") == "From here."
    # they are searched for what is nobody's business, too
    card.write_text(with_words(card.read_text(), "My token is hf_abcdefghijklmnopqrstuvwxyz."))
    code, said = push(other, "v7")
    assert (code, "README.md holds a token of the Hub" in said) == (1, True)


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
        for path in (pushes.folder / "tmp").glob("longvpo-release-*/provenance.json")
        if '"alice/killed"' in path.read_text()
    ]
    command.process.kill()
    command.process.join()
    assert pushes.run("push", folder, "--repo-id", "killed", token=ALICE + "killed")[0] == 0
    assert not left.exists()
