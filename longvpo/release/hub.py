"""Publish to the Hub; nothing else in longvpo writes there.

The rule: a release is one commit, a look at it from outside, and a tag on it. A tag never moves: what it holds already
is a success where it is the same, and an error where it is not. A tag is whole and right or it is absent, whatever
fails on the way, whatever changes on this machine and whoever else publishes. So nothing is repeated blindly: after a
reply that was lost, the repository is looked at first. And nothing is believed: what a commit holds is held against
the hashes of what was to be sent, before its tag is set.

The ready-made pushes of datasets and peft cannot do that: they need several commits for several configs, or write a
card of their own.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError

from longvpo.errors import LongVPOError
from longvpo.io.files import PROVENANCE, text_hash
from longvpo.io.retry import advice, may_pass, reason, status_of, with_retries
from longvpo.release.manifest import Release
from longvpo.release.target import Target, check_card, check_words, head_of, provenance_of, read_file, tags_of, tree_of

MANY = 100  # files of one commit; the Hub's documentation advises 50 to 100. More go through a pull request
CHANGELOG = "CHANGELOG.md"
STAGED = "A release that is too large for one commit, staged here. It is merged when it is whole."


def publish(release: Release) -> dict[str, Any]:
    """Publish the release, or find that it is there. The same call again does what is left to do.

    Returns:
        repo_id, kind, tag, commit; new: whether the tag was set now.

    Raises:
        LongVPOError: the tag holds another release, somebody else published in between, or the Hub failed; the text
            says what is published and what is not.
    """
    api, target = HfApi(), release.target
    try:
        with_retries(lambda: api.create_repo(**target.at, private=target.private is not False, exist_ok=True))
        if target.private:
            _set_visibility(api, target)  # a public repository becomes private before anything is in it
        tags = tags_of(api, target)
        new = target.tag not in tags
        if not new and not release.held_by(tree_of(api, target, tags[target.tag])):
            raise LongVPOError(
                f"{target} has a release {target.tag} with other content, and a tag never moves: nothing was "
                "published; give another --tag"
            )
        commit = _committed(api, release) if new else tags[target.tag]
    except LongVPOError:
        raise
    except Exception as error:  # errors of huggingface_hub and its HTTP client have no common base
        release.check_rest()
        raise LongVPOError(f"{target} has no release {target.tag} yet: {reason(error)}. {advice(error)}") from None
    try:
        release.check(target, commit)
    except Exception as error:
        where = f"the files of {target.tag} are in main of {target}, without a tag," if new else f"{target}"
        raise LongVPOError(f"{where} cannot be read from outside: {reason(error)}. {advice(error)}") from None
    if new:
        _set_tag(api, release, commit)
    try:
        _settle(api, target)
    except Exception as error:
        raise LongVPOError(
            f"{target} is published at {target.tag}, but what comes after failed: {reason(error)}. {advice(error)}"
        ) from None
    return {"repo_id": target.repo_id, "kind": target.kind, "tag": target.tag, "commit": commit, "new": new}


def _committed(api: HfApi, release: Release) -> str:
    """The commit of main that is the release: a run before this may have made it, or it is made now."""
    target = release.target
    head = head_of(api, target)
    tree = tree_of(api, target, head)
    if release.held_by(tree):
        return head
    done = _landed(api, release)
    if done:
        return done
    stated = provenance_of(api, target, head)
    check_card(api, target, head, tree, stated)
    check_words(api, target, head, tree)
    stale = sorted((set(stated.get("files", {})) | {PROVENANCE}) & set(tree) - set(release.files))
    old = (read_file(api, target, CHANGELOG, head) or b"").decode(errors="surrogateescape")  # whatever it is, it stays
    changelog = release.changelog(old).encode(errors="surrogateescape")
    release.check_rest()
    adds = {path: CommitOperationAdd(path, str(file.path)) for path, file in release.files.items()}
    adds[CHANGELOG] = CommitOperationAdd(CHANGELOG, changelog)
    operations: list[Any] = [*(CommitOperationDelete(path, is_folder=False) for path in stale), *adds.values()]
    if len(operations) > MANY:
        return _merged(api, release, operations, head)

    def commit() -> str:
        try:
            return api.create_commit(
                **target.at, operations=operations, commit_message=target.title, parent_commit=head
            ).oid
        except Exception as error:
            lost = status_of(error) == 412 or may_pass(error) is not None  # only the reply may be
            there = _landed(api, release) if lost else None
            if there:
                return there
            if head_of(api, target) != head:
                raise LongVPOError(
                    f"somebody else published to {target} in this moment: nothing of {target.tag} was published; "
                    "run the same command again"
                ) from None
            release.check_rest()
            raise

    made = with_retries(commit)
    release.check_held(tree_of(api, target, made))
    return made


def _landed(api: HfApi, release: Release) -> str | None:
    """The commit of main that is this release, if there is one.

    Raises:
        LongVPOError: another release of the same tag is there, whose tag is still to come.
    """
    target = release.target
    for one in with_retries(lambda: list(api.list_repo_commits(**target.at))):
        if one.title == target.title or one.title.startswith(target.title + " "):  # the Hub adds (#1) to merges
            tree = tree_of(api, target, one.commit_id)
            if release.held_by(tree):
                return one.commit_id
            if _whole(tree, provenance_of(api, target, one.commit_id)):
                raise LongVPOError(
                    f"another release {target.tag} of {target} is on its way, or was broken off. Nothing was "
                    "published: give another --tag, or run the command of that release again"
                )
    return None


def _whole(tree: dict[str, str], stated: dict[str, Any]) -> bool:
    """Whether a commit holds the release that its provenance states.

    A file that changed while it was sent is not the file of that release.
    A tree tells git's hash of files that are not in LFS, and provenance has none: those were copied before the push.
    """
    files = stated.get("files", {})
    return bool(files) and all(
        path in tree and (len(tree[path]) != len(sha256) or tree[path] == sha256) for path, sha256 in files.items()
    )


def _merged(api: HfApi, release: Release, operations: list[Any], head: str) -> str:
    """The merge commit of a pull request on which a large release was staged; a run before this may have begun it."""
    target = release.target
    number = with_retries(partial(_pull_request, api, release, head))
    branch = f"refs/pr/{number}"
    for start in range(0, len(operations), MANY):
        part = operations[start : start + MANY]
        message = f"Files {start + 1} to {start + len(part)} of {len(operations)} of {target.tag}"
        with_retries(partial(_stage, api, target, part, message, branch))
    release.check_held(tree_of(api, target, branch))
    if head_of(api, target) != head:
        raise LongVPOError(
            f"somebody else published to {target} in this moment: nothing of {target.tag} was published; close its "
            f"pull request {number} and run the same command again"
        )
    with_retries(partial(_merge, api, target, number))
    commit = head_of(api, target)
    if not release.held_by(tree_of(api, target, commit)):
        raise LongVPOError(
            f"somebody else published to {target} in this moment: its main is mixed, and {target.tag} is not set; run "
            "the same command again"
        )
    return commit


def _pull_request(api: HfApi, release: Release, head: str) -> int:
    """The number of the pull request of this very release onto this very main: one that is there, or a new one."""
    target = release.target
    text = json.dumps([head, {path: file.sha256 for path, file in sorted(release.files.items())}])
    title = f"{target.title} ({text_hash(text)[:8]})"
    me = api.whoami()["name"]  # anybody may open a pull request, and under any title
    for one in api.get_repo_discussions(**target.at, author=me, discussion_type="pull_request"):
        if one.title == title and one.status in ("draft", "open"):
            return one.num
    return api.create_pull_request(**target.at, title=title, description=STAGED).num


def _merge(api: HfApi, target: Target, number: int) -> None:
    status = with_retries(lambda: api.get_discussion_details(**target.at, discussion_num=number)).status
    if status == "draft":
        api.change_discussion_status(**target.at, discussion_num=number, new_status="open")
    if status != "merged":
        api.merge_pull_request(**target.at, discussion_num=number)


def _stage(api: HfApi, target: Target, operations: list[Any], message: str, branch: str) -> None:
    """One part of a large release on its branch; files that are there already make no commit."""
    tree = tree_of(api, target, branch)
    left = [one for one in operations if isinstance(one, CommitOperationAdd) or one.path_in_repo in tree]
    api.create_commit(**target.at, operations=left, commit_message=message, revision=branch)


def _set_tag(api: HfApi, release: Release, commit: str) -> None:
    """Raises LongVPOError when the tag is not on the release in the end."""
    target = release.target

    def tag() -> None:
        try:
            api.create_tag(**target.at, tag=target.tag, tag_message=target.title, revision=commit)
        except HfHubHTTPError as error:
            if status_of(error) != 409:
                raise  # 409: it is there, set by a request whose reply was lost, or by somebody else

    try:
        with_retries(tag)
        there = tags_of(api, target)[target.tag]
        right = release.held_by(tree_of(api, target, there))
    except Exception as error:
        raise LongVPOError(
            f"the files of {target.tag} are in main of {target}, but its tag is not set: {reason(error)}. "
            f"{advice(error)}"
        ) from None
    if not right:
        raise LongVPOError(
            f"the tag {target.tag} of {target} holds other files than were sent: somebody else set it. Give "
            "another --tag"
        )


def _set_visibility(api: HfApi, target: Target) -> bool:
    """Whether the repository is private: as it was asked for, or as it is."""
    private = bool(with_retries(lambda: api.repo_info(**target.at)).private)
    if target.private in (None, private):
        return private
    with_retries(lambda: api.update_repo_settings(**target.at, private=target.private))
    return not private


def _settle(api: HfApi, target: Target) -> None:
    """Visibility and collection, after the release itself is there."""
    private = _set_visibility(api, target)
    if target.collection:
        namespace, title = target.repo_id.split("/")[0], target.collection
        made = with_retries(lambda: api.create_collection(title, namespace=namespace, private=private, exists_ok=True))
        if target.private is False and made.private:
            with_retries(lambda: api.update_collection_metadata(made.slug, private=False))
        with_retries(lambda: api.add_collection_item(made.slug, target.repo_id, target.kind, exists_ok=True))
