"""What the Hub of server.py keeps on disk: files by their content, commits that name them, refs that name those.

Every file appears whole or not at all, so a server that was killed can be started again on its folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Values = dict[str, Any]


class HubError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, code: str = "", headers: Values | None = None, **said: Any) -> None:
        headers = {"X-Error-Message": message.encode("ascii", "replace").decode(), **(headers or {})}
        if code:
            headers["X-Error-Code"] = code
        self.reply = Reply({"error": message, **said}, status, headers)


@dataclass
class Reply:
    body: Any  # for JSON, or the path of a file
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Repo:
    """A repository: commits that never change, and a file of refs that is replaced as a whole."""

    def __init__(self, folder: Path, kind: str, repo_id: str) -> None:
        self.folder, self.kind, self.id = folder, kind, repo_id
        self.path = folder / kind / repo_id
        file = self.path / "refs.json"
        self.there = file.is_file()
        self.refs: Values = json.loads(file.read_text()) if self.there else {}

    @property
    def name(self) -> str:
        """As it stands in addresses."""
        return f"{'datasets/' if self.kind == 'datasets' else ''}{self.id}"

    def save(self) -> None:
        write(self.folder, self.path / "refs.json", json.dumps(self.refs).encode())

    def commit(self, commit_id: str) -> Values:
        return json.loads((self.path / "commits" / f"{commit_id}.json").read_text())

    def history(self, commit_id: str | None) -> Iterator[tuple[str, Values]]:
        """Commits, newest first."""
        while commit_id:
            commit = self.commit(commit_id)
            yield commit_id, commit
            commit_id = commit["parent"]

    def add_commit(self, parent: str | None, files: Values, title: str, message: str, author: str) -> str:
        """Store a commit; no ref points to it yet."""
        commit: Values = {"parent": parent, "title": title, "message": message, "date": now(), "author": author}
        commit["files"] = files
        commit_id = hashlib.sha1(json.dumps([uuid.uuid4().hex, commit]).encode()).hexdigest()
        write(self.folder, self.path / "commits" / f"{commit_id}.json", json.dumps(commit).encode())
        return commit_id

    def resolve(self, revision: str) -> str:
        """The commit of a branch, a tag, a pull request, or of the first digits of its id."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        known = self.refs["heads"].get(name) or self.refs["tags"].get(name)
        if known:
            return known
        if re.fullmatch("[0-9a-f]{7,40}", revision):
            found = list((self.path / "commits").glob(f"{revision}*.json"))
            if len(found) == 1:
                return found[0].stem
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def discussion(self, number: str) -> Values:
        for one in self.refs["discussions"]:
            if one["num"] == int(number):
                return one
        raise HubError(404, f"There is no discussion {number}")


def write(folder: Path, path: Path, content: bytes) -> None:
    """A file that is there as a whole or not at all, also after a kill."""
    unfinished = folder / "unfinished" / uuid.uuid4().hex
    unfinished.write_bytes(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(unfinished, path)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def object_path(folder: Path, sha256: str) -> Path:
    return folder / "objects" / sha256


def pointer(sha256: str, size: int) -> bytes:
    """What git holds in the place of a file in LFS."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def entry_of(content: Path, lfs: bool) -> Values:
    """What a commit says of a file."""
    sha256, size = content.name, content.stat().st_size
    blob = pointer(sha256, size) if lfs else content.read_bytes()
    sha1 = hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()
    return {"sha256": sha256, "size": size, "lfs": lfs, "sha1": sha1}


def add_file(folder: Path, content: bytes) -> Values:
    """Store a file that is not in LFS; returns its entry in a commit."""
    path = object_path(folder, hashlib.sha256(content).hexdigest())
    write(folder, path, content)
    return entry_of(path, lfs=False)


def collections_in(folder: Path) -> dict[str, Values]:
    file = folder / "collections.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def keep(folder: Path, collection: Values) -> Values:
    everything = {**collections_in(folder), collection["slug"]: {**collection, "lastUpdated": now()}}
    write(folder, folder / "collections.json", json.dumps(everything).encode())
    return everything[collection["slug"]]
