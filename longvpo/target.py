"""Where a release goes: who may publish there, and what is there already. Nothing here writes."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi, RepoFile
from huggingface_hub.errors import (
    EntryNotFoundError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils._validators import validate_repo_id

from longvpo.errors import LongVPOError
from longvpo.folder import PROVENANCE
from longvpo.retry import WAITS, again, reason

Kind = Literal["dataset", "model"]

NOT_OURS = (".gitattributes", "README.md")  # of a repository that was made by hand, and is free


@dataclass(frozen=True)
class Target:
    """Where a release goes."""

    kind: Kind
    repo_id: str
    tag: str
    private: bool | None = None  # None: a new repository is private, another stays as it is
    collection: str | None = None  # title

    @property
    def at(self) -> dict[str, Any]:
        """The repository, for the client's calls."""
        return {"repo_id": self.repo_id, "repo_type": self.kind}

    @property
    def title(self) -> str:
        return f"Release {self.tag}"

    def __str__(self) -> str:
        return f"{'datasets/' if self.kind == 'dataset' else ''}{self.repo_id}"


def check_push(target: Target, recipe: str) -> Target:
    """The target with its full id, when the user may publish there; to be asked before any work.

    Args:
        target: its repo_id is `namespace/name`, or a name in the user's own namespace.
        recipe: hash of what will be published.

    Raises:
        LongVPOError: not logged in, a token that may only read, a namespace that is not the user's, a repository that
            holds something else, or a tag that holds another release.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", target.tag) or target.tag == "main" or ".." in target.tag:
        raise LongVPOError(f"--tag {target.tag}: give letters, digits, `.`, `_` and `-`, such as v0.1.0")
    me = _who_am_i()
    namespace, _, name = target.repo_id.rpartition("/")
    namespace = namespace or me["name"]
    try:
        validate_repo_id(f"{namespace}/{name}")
    except ValueError as error:
        raise LongVPOError(f"--repo-id {target.repo_id}: {reason(error)}") from None
    _check_namespace(me, namespace)
    target = replace(target, repo_id=f"{namespace}/{name}")
    api = HfApi()
    try:
        tags = tags_of(api, target)
        held = provenance_of(api, target, tags.get(target.tag) or "main")
    except RepositoryNotFoundError:
        return target
    except Exception as error:
        raise LongVPOError(f"{target} cannot be looked at: {reason(error)}. Try again later") from None
    if target.tag in tags and held.get("recipe") != recipe:
        raise LongVPOError(
            f"{target} has a release {target.tag} already, of another recipe ({held.get('recipe')}, this one is "
            f"{recipe}), and a tag never moves: give another --tag"
        )
    if not held and set(tree_of(api, target, "main")) - set(NOT_OURS):
        raise LongVPOError(f"{target} holds something that longvpo did not publish: give another --repo-id")
    return target


def _who_am_i() -> dict[str, Any]:
    try:
        return again(HfApi().whoami, WAITS[:2])
    except LocalTokenNotFoundError:
        raise LongVPOError("you are not logged in to the Hub: run `hf auth login`, or set HF_TOKEN") from None
    except Exception as error:  # of huggingface_hub and its HTTP client: no common base
        if getattr(getattr(error, "response", None), "status_code", None) == 401:
            raise LongVPOError(f"the Hub does not know you: {reason(error)}. Run `hf auth login` again") from None
        raise LongVPOError(f"the Hub cannot be asked who you are: {reason(error)}. Try again later") from None


def _check_namespace(me: dict[str, Any], namespace: str) -> None:
    """Raises LongVPOError when the namespace is not the user's, or the token may not write into it."""
    allowed = [me["name"], *(organisation["name"] for organisation in me.get("orgs", []))]
    if namespace not in allowed:
        raise LongVPOError(f"{namespace} is not yours: publish as one of {', '.join(allowed)}, with --repo-id")
    token = me.get("auth", {}).get("accessToken", {})
    if token.get("role") == "read":
        raise LongVPOError("your Hub token may only read: make one that may write, and run `hf auth login`")
    if token.get("role") != "fineGrained":
        return
    rights = token.get("fineGrained", {})
    given = set(rights.get("global", [])).union(
        *(one["permissions"] for one in rights.get("scoped", []) if one["entity"].get("name") == namespace)
    )
    if "repo.write" not in given:
        raise LongVPOError(
            f"your Hub token may not write to repositories of {namespace}: give it that permission in the Hub's "
            "settings, or make one that may write, and run `hf auth login`"
        )


def head_of(api: HfApi, target: Target) -> str:
    """The commit of main."""
    return str(again(lambda: api.repo_info(**target.at)).sha)


def tags_of(api: HfApi, target: Target) -> dict[str, str]:
    """The commit of each tag."""
    return {one.name: one.target_commit for one in again(lambda: api.list_repo_refs(**target.at)).tags}


def tree_of(api: HfApi, target: Target, revision: str) -> dict[str, str]:
    """The hash of every file at a revision: sha256 of those in LFS, git's of the others."""
    items = again(lambda: list(api.list_repo_tree(**target.at, revision=revision, recursive=True)))
    files = [one for one in items if isinstance(one, RepoFile)]
    return {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in files}


def provenance_of(api: HfApi, target: Target, revision: str) -> dict[str, Any]:
    """What the release at a revision says of itself; empty where there is none."""
    try:
        said = json.loads(read(api, target, PROVENANCE, revision) or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def read(api: HfApi, target: Target, path: str, revision: str) -> str | None:
    with tempfile.TemporaryDirectory() as cache:  # `main` is not to be taken from a cache
        try:
            there = again(lambda: api.hf_hub_download(**target.at, filename=path, revision=revision, cache_dir=cache))
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError):  # it could not be asked for
                raise
            return None
        return Path(there).read_text(encoding="utf-8")
