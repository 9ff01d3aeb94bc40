"""Where a release goes: who may publish there, and what is there already. Nothing here writes."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi, RepoFile, errors, get_token
from huggingface_hub.utils._validators import validate_repo_id

from longvpo.errors import LongVPOError
from longvpo.io.files import CARD, CARD_HASH, PROVENANCE, WORDS_HASH, text_hash
from longvpo.io.retry import WAITS, advice, fail_on_long_rests, reason, status_of, with_retries
from longvpo.io.temporary import own_folder
from longvpo.release.card_file import MOVE, card_hash
from longvpo.release.words import words_in

Kind = Literal["dataset", "model"]

READERS = ("read", "no_access")  # roles in an organisation that may not write
OWNERS = ("user", "org")  # what a fine-grained token may be for; else it is one repository

NOT_OURS = (".gitattributes", CARD)  # files of a repository that was made by hand, and is free


@dataclass(frozen=True)
class Target:
    """Where a release goes."""

    kind: Kind
    repo_id: str
    tag: str
    private: bool | None = None  # None: a new repository is private, another stays as it is
    collection: str | None = None  # title
    overwrite_card: bool = False  # also one that longvpo did not write
    words: str = ""  # that stand between the markers of the card there
    words_edited: bool = False  # by a person, there
    words_hash: str = ""  # hash that the release there states: that of the words that came from a folder
    said: dict[str, Any] | None = None  # what a release of this tag says of itself, where one is there: it stays so

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
        LongVPOError: the user is not logged in, or the token may only read. The namespace is not the user's. Git
            forbids the tag, or it holds another release. The repository holds something else, or a card that longvpo
            did not write.
    """
    _check_tag(target.tag)
    fail_on_long_rests()
    me = _who_am_i()
    namespace, _, name = target.repo_id.rpartition("/")
    namespace = namespace or me["name"]
    try:
        validate_repo_id(f"{namespace}/{name}")
    except ValueError as error:
        raise LongVPOError(f"--repo-id {target.repo_id}: {reason(error)}") from None
    target = replace(target, repo_id=f"{namespace}/{name}")
    _check_rights(me, target)
    api = HfApi()
    try:
        refs = with_retries(lambda: api.list_repo_refs(**target.at))
        tags = {one.name: one.target_commit for one in refs.tags}
        # both at one commit: another release may come between two looks at main
        head = next((one.target_commit for one in refs.branches if one.name == "main"), "main")
        at = tags.get(target.tag) or head
        tree = {} if target.tag in tags else tree_of(api, target, at)
        words = words_in(_text(read_file(api, target, CARD, at)))
        held = provenance_of(api, target, at)
    except errors.RepositoryNotFoundError:
        return target
    except Exception as error:
        raise LongVPOError(f"{target} cannot be looked at: {reason(error)}. {advice(error)}") from None
    if target.tag in tags and held.get("recipe") != recipe:
        raise LongVPOError(
            f"{target} has a release {target.tag} already, of another recipe ({held.get('recipe')}, this one is "
            f"{recipe}), and a tag never moves: give another --tag"
        )
    if target.tag in {one.name for one in refs.branches}:
        raise LongVPOError(f"{target} has a branch {target.tag}, which a tag would hide: give another --tag")
    if not held and set(tree) - set(NOT_OURS):
        raise LongVPOError(f"{target} holds something that longvpo did not publish: give another --repo-id")
    check_card(api, target, head, tree, held)
    of_folder = held.get(WORDS_HASH) or text_hash("")
    edited = target.tag not in tags and text_hash(words) != of_folder
    said = held.get("release") or {}
    here = (said.get("repo_id"), said.get("tag")) == (target.repo_id, target.tag)
    return replace(target, words=words, words_edited=edited, words_hash=of_folder, said=said if here else None)


def _check_tag(tag: str) -> None:
    """Raises LongVPOError for what git, or an address of the Hub, takes for something else (git check-ref-format)."""
    wrong = not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", tag) or ".." in tag or tag.endswith((".", ".lock"))
    if wrong or tag in ("main", "HEAD") or re.fullmatch(r"[0-9a-fA-F]{40}", tag):
        raise LongVPOError(
            f"--tag {tag}: give letters, digits, `.`, `_` and `-`, such as v0.1.0. Git or the Hub would refuse "
            "this one, or take it for something else"
        )


def _who_am_i() -> dict[str, Any]:
    for place, character in enumerate(get_token() or "", 1):
        if not " " <= character <= "~":
            named = unicodedata.name(character, f"U+{ord(character):04X}")
            raise LongVPOError(
                f"your Hub token cannot be sent: character {place} of it is {named}, which no token has; copy it "
                "again, and run `hf auth login` or set HF_TOKEN"
            )
    try:
        return with_retries(HfApi().whoami, WAITS[:2])
    except errors.LocalTokenNotFoundError:
        raise LongVPOError("you are not logged in to the Hub: run `hf auth login`, or set HF_TOKEN") from None
    except Exception as error:  # errors of huggingface_hub and its HTTP client have no common base
        if status_of(error) == 401:
            raise LongVPOError(f"the Hub does not know you: {reason(error)}. Run `hf auth login` again") from None
        raise LongVPOError(f"the Hub cannot be asked who you are: {reason(error)}. {advice(error)}") from None


def _check_rights(me: dict[str, Any], target: Target) -> None:
    """Raises LongVPOError when the namespace is not the user's, or user or token may not write into the repository."""
    namespace = target.repo_id.split("/")[0]
    token = me.get("auth", {}).get("accessToken", {})
    rights = token.get("fineGrained") or {}
    scoped = [(one.get("entity") or {}, one.get("permissions") or []) for one in rights.get("scoped") or []]
    if token.get("role") == "fineGrained" and any(
        (entity.get("type"), entity.get("name")) == (target.kind, target.repo_id) and "repo.write" in given
        for entity, given in scoped
    ):
        return  # a token of this very repository, which does not have to know its user's organisations
    roles = {one["name"]: one.get("roleInOrg") for one in me.get("orgs", [])}
    allowed = [me["name"], *(name for name, role in roles.items() if role not in READERS)]
    if token.get("role") == "read":
        raise LongVPOError("your Hub token may only read: make one that may write, and run `hf auth login`")
    if namespace not in allowed:
        why = "is not yours" if namespace not in roles else "is an organisation in which you may only read"
        raise LongVPOError(f"{namespace} {why}: publish as one of {', '.join(allowed)}, with --repo-id")
    if token.get("role") != "fineGrained":
        return
    wide = [given for entity, given in scoped if entity.get("name") == namespace and entity.get("type") in OWNERS]
    if "repo.write" not in set(rights.get("global") or []).union(*wide):
        raise LongVPOError(
            f"your Hub token may not write to {target}: give it that permission in the Hub's settings, or make one "
            "that may write, and run `hf auth login`"
        )


def check_card(api: HfApi, target: Target, revision: str, tree: dict[str, str], stated: dict[str, Any]) -> None:
    """Raises LongVPOError where the card at a revision is not longvpo's, and the user did not say that it may go. What
    stands between its markers is the user's in any case.

    Args:
        tree: the revision's, path -> hash.
        stated: its provenance. One of before there was a hash of the card names its tag at least, whose card it was.
    """
    if CARD not in tree or target.overwrite_card:
        return
    if CARD_HASH in stated:
        ours = card_hash(read_file(api, target, CARD, revision) or b"") == stated[CARD_HASH]
    else:
        commit = tags_of(api, target).get((stated.get("release") or {}).get("tag", ""))
        ours = commit is not None and tree_of(api, target, commit).get(CARD) == tree[CARD]
    if not ours:
        raise LongVPOError(f"the {CARD} of {target} was written or edited by hand, and nothing was published: {MOVE}")


def head_of(api: HfApi, target: Target) -> str:
    """The commit of main."""
    return str(with_retries(lambda: api.repo_info(**target.at)).sha)


def tags_of(api: HfApi, target: Target) -> dict[str, str]:
    """The commit of each tag."""
    return {one.name: one.target_commit for one in with_retries(lambda: api.list_repo_refs(**target.at)).tags}


def tree_of(api: HfApi, target: Target, revision: str) -> dict[str, str]:
    """The hash of every file at a revision: sha256 of those in LFS, git's of the others."""
    items = with_retries(lambda: list(api.list_repo_tree(**target.at, revision=revision, recursive=True)))
    files = [one for one in items if isinstance(one, RepoFile)]
    return {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in files}


def check_words(api: HfApi, target: Target, revision: str, tree: dict[str, str]) -> None:
    """Raises LongVPOError where other words stand between the markers than when the release was made."""
    if CARD in tree and words_in(_text(read_file(api, target, CARD, revision))) != target.words:
        raise LongVPOError(
            f"the words between the markers of the {CARD} of {target} changed meanwhile, and nothing was published: "
            "run the same command again, which keeps them"
        )


def _text(card: bytes | None) -> str:
    return (card or b"").decode(errors="replace")


def provenance_of(api: HfApi, target: Target, revision: str) -> dict[str, Any]:
    """What the release at a revision says of itself; empty where there is none."""
    try:
        found = json.loads(read_file(api, target, PROVENANCE, revision) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_file(api: HfApi, target: Target, path: str, revision: str) -> bytes | None:
    """A file of the repository, past all caches; None where there is none."""
    with own_folder("read") as cache:  # `main` is not to be taken from a cache
        try:
            there = with_retries(
                lambda: api.hf_hub_download(**target.at, filename=path, revision=revision, cache_dir=cache)
            )
        except errors.EntryNotFoundError as error:
            if isinstance(error, errors.LocalEntryNotFoundError):  # it could not be asked for
                raise
            return None
        return Path(there).read_bytes()
