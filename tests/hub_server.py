"""A Hugging Face Hub on this machine, for the real clients: it keeps commits on disk, and fails as it is told.

    python tests/hub_server.py FOLDER [PORT]

prints its address; `with hub(folder) as address` does the same for a test. Clients get HF_ENDPOINT=address,
HF_HUB_DISABLE_XET=1 and a token `hf_<user>_<write|read|fine>_<run>`, which makes the user; the run is any word, and a
fine-grained token may write where its run begins with w. FOLDER holds everything, so a server that was killed can be
started on it again; only logs and faults are lost.

Without a token: `GET /_state` says what everything holds. `POST /_control/RUN {"fault": {"at": 3, "kind": "lost"}}`
makes the third request of that run from now fail, once, and `GET /_control/RUN` says which requests came and whether
it has happened. Kinds: `429`, `500`, `503`; `reset`: the connection breaks before the request has any effect; `lost`:
it has its effect, but no reply; `slow`: it takes half a second until its effect; `late`: it takes half a second from
its effect to its reply.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import yaml

AS_LFS = (".parquet", ".safetensors", ".bin", ".png", ".jpg", ".jpeg", ".mp4", ".npz", ".zip")
LARGE = 10_000_000  # bytes; from here on every file goes to LFS
FAULTS = ("429", "500", "503", "reset", "lost", "slow", "late")
STALE = "The branch was updated since you opened this page. Please refresh and try again."
WHO = "Invalid credentials in Authorization header"
TOKEN = re.compile(r"hf_(?P<name>[^_]+)_(?P<role>write|read|fine)_(?P<run>[^_]+)")

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


@dataclass(frozen=True)
class User:
    """What a token says."""

    name: str
    role: str
    run: str

    def owns(self, namespace: str) -> bool:
        return namespace in (self.name, f"{self.name}-lab")

    def may_write(self, namespace: str) -> bool:
        if self.role == "fine":
            return namespace == self.name and self.run.startswith("w")
        return self.role == "write" and self.owns(namespace)


@dataclass
class Run:
    """The requests of one run, and the fault among them."""

    requests: list[str] = field(default_factory=list)
    fault: Values | None = None
    fired: bool = False


@dataclass
class Call:
    """A request, as the routes see it."""

    folder: Path
    runs: dict[str, Run]
    address: str
    query: dict[str, str]
    body: bytes
    user: User | None

    @property
    def json(self) -> Values:
        return json.loads(self.body or b"{}")

    def writer(self, namespace: str) -> User:
        """The user, who may write into the namespace."""
        if self.user is None:
            raise HubError(401, "You need to log in")
        if not self.user.may_write(namespace):
            raise HubError(403, f"You don't have the rights to write to the namespace {namespace} with this token")
        return self.user


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


def lfs_values(entry: Values, key: str) -> Values:
    sha256, size = entry["sha256"], entry["size"]
    return {key: sha256, "size": size, "pointerSize": len(pointer(sha256, size))}


def card_of(text: str) -> Any:
    """The front matter of a card; raises yaml.YAMLError."""
    found = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    return yaml.safe_load(found[1]) if found else None


# users


def user_of(authorization: str) -> User | None:
    token = authorization.removeprefix("Bearer ")
    if not token:
        return None
    found = TOKEN.fullmatch(token)
    if token.startswith("hf_echo"):
        raise HubError(401, f"{WHO}: {token}")
    if not found:
        raise HubError(401, WHO)
    return User(**found.groupdict())


def whoami(call: Call) -> Values:
    user = call.user
    if user is None:
        raise HubError(401, WHO)
    token: Values = {"displayName": user.run, "role": {"fine": "fineGrained"}.get(user.role, user.role)}
    if user.role == "fine":
        may = ["repo.content.read", *(["repo.write"] if user.may_write(user.name) else [])]
        scoped = [{"entity": {"type": "user", "name": user.name}, "permissions": may}]
        token["fineGrained"] = {"canReadGatedRepos": False, "global": [], "scoped": scoped}
    return {
        "type": "user",
        "name": user.name,
        "fullname": user.name.title(),
        "orgs": [{"name": f"{user.name}-lab", "roleInOrg": "admin"}],
        "auth": {"type": "access_token", "accessToken": token},
    }


# repositories


def open_repo(call: Call, kind: str, repo_id: str, to_write: bool) -> Repo:
    namespace = repo_id.split("/")[0]
    if to_write:
        call.writer(namespace)
    repo = Repo(call.folder, kind, repo_id)
    if not repo.there or (repo.refs["private"] and not (call.user and call.user.owns(namespace))):
        raise HubError(404, "Repository not found", "RepoNotFound")
    return repo


def create_repo(call: Call) -> Values:
    asked = call.json
    user = call.writer(asked.get("organization") or (call.user.name if call.user else ""))
    repo_id = f"{asked.get('organization') or user.name}/{asked['name']}"
    repo = Repo(call.folder, f"{asked.get('type') or 'model'}s", repo_id)
    address = f"{call.address}/{repo.name}"
    if repo.there:
        raise HubError(409, f"You already created this {repo.kind[:-1]} repo: {repo.id}", url=address)
    attributes = "".join(f"*{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in AS_LFS)
    files = {".gitattributes": add_file(call.folder, attributes.encode())}
    first = repo.add_commit(None, files, "initial commit", "", user.name)
    repo.refs = {"id": uuid.uuid4().hex[:24], "private": is_private(asked), "gated": False, "createdAt": now()}
    repo.refs |= {"heads": {"main": first}, "tags": {}, "discussions": []}
    repo.save()
    return {"url": address, "id": repo.id}


def settings(call: Call, repo: Repo) -> Values:
    asked = call.json
    if "visibility" in asked or "private" in asked:
        repo.refs["private"] = is_private(asked)
        repo.save()
    return {}


def is_private(asked: Values) -> bool:
    return asked.get("visibility") == "private" or bool(asked.get("private"))


def info(call: Call, repo: Repo, revision: str = "main") -> Values:
    sha = repo.resolve(revision)
    commit = repo.commit(sha)
    files = commit["files"]
    siblings: list[Values] = [{"rfilename": path} for path in sorted(files)]
    if "blobs" in call.query:
        for one in siblings:
            entry = files[one["rfilename"]]
            one.update(size=entry["size"], blobId=entry["sha1"])
            if entry["lfs"]:
                one["lfs"] = lfs_values(entry, "sha256")
    card = None
    if "README.md" in files:
        card = card_of(object_path(call.folder, files["README.md"]["sha256"]).read_text(encoding="utf-8"))
    values = {"_id": repo.refs["id"], "id": repo.id, "author": repo.id.split("/")[0], "sha": sha, "siblings": siblings}
    values |= {key: repo.refs[key] for key in ("private", "gated", "createdAt")}
    values |= {key: card[key] for key in ("library_name", "pipeline_tag") if card and key in card}
    return {**values, "lastModified": commit["date"], "cardData": card, "tags": (card or {}).get("tags") or []}


def row(files: Values, path: str) -> Values | None:
    """A file or folder of a commit as the tree shows it, or None where there is nothing."""
    there = {path: files[path]} if path in files else inside(files, path)
    if path in there:
        entry = there[path]
        values = {"type": "file", "path": path, "oid": entry["sha1"], "size": entry["size"]}
        if entry["lfs"]:
            values["lfs"] = lfs_values(entry, "oid")
    elif there:
        oid = hashlib.sha1(json.dumps(there, sort_keys=True).encode()).hexdigest()
        values = {"type": "directory", "path": path, "oid": oid, "size": 0}
    else:
        return None
    return values


def inside(files: Values, path: str) -> Values:
    """The file at a path, or all files in the folder there."""
    return {name: entry for name, entry in files.items() if name == path or name.startswith(f"{path}/")}


def tree(call: Call, repo: Repo, revision: str, path: str = "") -> list[Values | None]:
    sha = repo.resolve(revision)
    start = f"{path.strip('/')}/" if path else ""
    files = repo.commit(sha)["files"]
    below = [name.removeprefix(start) for name in files if name.startswith(start)]
    if path and not below:
        raise HubError(404, f'{path} does not exist on "{revision}"', "EntryNotFound", {"X-Repo-Commit": sha})
    names = {"/".join(name.split("/")[:depth]) for name in below for depth in range(1, name.count("/") + 2)}
    recursive = call.query.get("recursive", "").lower() == "true"
    return [row(files, start + name) for name in sorted(names) if recursive or "/" not in name]


def paths_info(call: Call, repo: Repo, revision: str) -> list[Values]:
    sha = repo.resolve(revision)
    asked = parse_qs(call.body.decode())
    files = repo.commit(sha)["files"]
    rows = [row(files, path.strip("/")) for path in asked.get("paths", [])]
    return [one for one in rows if one]


def refs(call: Call, repo: Repo) -> Values:
    said: Values = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    for name, sha in repo.refs["heads"].items():
        if not name.startswith("refs/pr/"):
            said["branches"].append({"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha})
        elif "include_prs" in call.query:
            said["pullRequests"].append({"name": name.split("/")[-1], "ref": name, "targetCommit": sha})
    for name, sha in repo.refs["tags"].items():
        said["tags"].append({"name": name, "ref": f"refs/tags/{name}", "targetCommit": sha})
    return said


def commits(call: Call, repo: Repo, revision: str) -> list[Values]:
    return [
        {"id": sha, "authors": [{"user": one["author"]}], **{key: one[key] for key in ("title", "message", "date")}}
        for sha, one in repo.history(repo.resolve(revision))
    ]


def add_tag(call: Call, repo: Repo, revision: str) -> Values:
    name, target = call.json["tag"], repo.resolve(revision)
    if name in repo.refs["tags"]:
        raise HubError(409, f"Reference refs/tags/{name} already exists")
    repo.refs["tags"][name] = target
    repo.save()
    return {}


def resolve(call: Call, repo: Repo, revision: str, path: str) -> Reply:
    sha = repo.resolve(revision)
    headers = {"X-Repo-Commit": sha}
    entry = repo.commit(sha)["files"].get(path)
    if not entry:
        raise HubError(404, "Entry not found", "EntryNotFound", headers)
    headers["ETag"] = f'"{entry["sha256"] if entry["lfs"] else entry["sha1"]}"'
    if entry["lfs"]:
        headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(entry["size"])}
    return Reply(object_path(call.folder, entry["sha256"]), headers=headers)


# uploads


def validate_yaml(call: Call) -> Reply:
    errors = []
    try:
        card = card_of(call.json["content"])
        if card is not None and not isinstance(card, dict):
            errors.append("The metadata must be a mapping")
        elif card and not isinstance(card.get("license", ""), str):
            errors.append('"license" must be one of the licenses of the list')
    except yaml.YAMLError as error:
        errors.append(f"Invalid YAML: {error}")
    return Reply({"errors": [{"message": one} for one in errors], "warnings": []}, 400 if errors else 200)


def preupload(call: Call, repo: Repo, revision: str) -> Values:
    there = repo.commit(repo.resolve(revision))["files"]
    said = []
    for file in call.json["files"]:
        path = file["path"]
        large = path.endswith(AS_LFS) or file["size"] > LARGE
        said.append({"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False})
        if path in there:
            said[-1]["oid"] = there[path]["sha256" if there[path]["lfs"] else "sha1"]
    return {"files": said}


def lfs_batch(call: Call, repo: Repo) -> Values:
    run = call.user.run if call.user else ""
    objects = []
    for one in call.json["objects"]:
        oid, size = one["oid"], one["size"]
        said: Values = {"oid": oid, "size": size}
        if not uploaded(repo, oid).exists():
            href = f"{call.address}/_upload/{run}/{oid}"  # as presigned addresses, it is not sent the token
            verify = {"href": f"{call.address}/{repo.name}.git/info/lfs/verify"}
            said["actions"] = {"upload": {"href": href}, "verify": verify}
        objects.append(said)
    return {"transfer": "basic", "objects": objects}


def put_object(call: Call, oid: str) -> Values:
    if hashlib.sha256(call.body).hexdigest() != oid:
        raise HubError(400, "The content is not what its oid says")
    write(call.folder, object_path(call.folder, oid), call.body)
    return {}


def uploaded(repo: Repo, oid: str) -> Path:
    """Is there when the repository has the object: what another one has must be sent all the same."""
    return repo.path / "lfs" / oid


def verify(call: Call, repo: Repo) -> Values:
    path = object_path(call.folder, call.json["oid"])
    if not path.exists() or path.stat().st_size != call.json["size"]:
        raise HubError(404, "The object is not there")
    write(call.folder, uploaded(repo, call.json["oid"]), b"")
    return {}


def commit(call: Call, repo: Repo, revision: str) -> Values:
    header, *operations = [json.loads(line) for line in call.body.splitlines()]
    said = header["value"]
    heads, author = repo.refs["heads"], call.writer(repo.id.split("/")[0]).name
    if revision not in heads:
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    head = heads[revision]
    if not head.startswith(said.get("parentCommit") or ""):
        raise HubError(412, STALE)
    files = dict(repo.commit(head)["files"])
    for one in operations:
        change(call.folder, files, one["key"], one["value"])
    title, message = said["summary"], said.get("description") or ""
    heads[revision] = repo.add_commit(head, files, title, message, author)
    repo.save()
    oid = heads[revision]
    return {"commitOid": oid, "commitUrl": f"{call.address}/{repo.name}/commit/{oid}"}


def change(folder: Path, files: Values, key: str, value: Values) -> None:
    """One operation of a commit, on path -> entry."""
    path = value["path"].strip("/")
    if key == "file":
        files[path] = add_file(folder, base64.b64decode(value["content"]))
    elif key == "lfsFile":
        content = object_path(folder, value["oid"])
        if not content.exists():
            raise HubError(400, f"The LFS object of {path} was not uploaded")
        files[path] = entry_of(content, lfs=True)
    elif key in ("deletedFile", "deletedFolder"):
        gone = [name for name in files if name == path] if key == "deletedFile" else inside(files, path)
        if not gone:
            raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        for name in gone:
            del files[name]
    else:
        raise HubError(400, f"Unknown operation {key}")


# pull requests


def add_discussion(repo: Repo, title: str, text: str, author: str, status: str, pull: bool = True) -> Values:
    one: Values = {"num": len(repo.refs["discussions"]) + 1, "title": title, "description": text, "status": status}
    one |= {"author": author, "createdAt": now(), "isPullRequest": pull, "merged": None}
    if pull:
        one["base"] = repo.refs["heads"][f"refs/pr/{one['num']}"] = repo.refs["heads"]["main"]
    repo.refs["discussions"].append(one)
    return one


def create_discussion(call: Call, repo: Repo) -> Values:
    asked, author = call.json, call.writer(repo.id.split("/")[0]).name
    pull = bool(asked.get("pullRequest"))
    one = add_discussion(repo, asked["title"], asked.get("description", ""), author, "draft" if pull else "open", pull)
    repo.save()
    return {"num": one["num"]}


def overview(repo: Repo, one: Values) -> Values:
    values = {key: one[key] for key in ("num", "title", "status", "createdAt", "isPullRequest")}
    return {**values, "author": {"name": one["author"]}, "repo": {"name": repo.id, "type": repo.kind[:-1]}}


def discussions(call: Call, repo: Repo) -> Values:
    kind, status, author = (call.query.get(key, "all") for key in ("type", "status", "author"))
    found = [
        overview(repo, one)
        for one in reversed(repo.refs["discussions"])
        if kind == "all" or one["isPullRequest"] == (kind == "pull_request")
        if status == "all" or (one["status"] in ("open", "draft")) == (status == "open")
        if author in ("all", one["author"])
    ]
    return {"discussions": found, "count": len(found), "start": 0}


def details(call: Call, repo: Repo, number: str) -> Values:
    one = repo.discussion(number)
    said = {"edited": False, "hidden": False, "latest": {"raw": one["description"]}}
    values = {**overview(repo, one), "events": [event("comment", one["author"], one["createdAt"], said)]}
    if one["isPullRequest"]:
        changes = {"base": "refs/heads/main", "mergeCommitId": one["merged"]}
        values |= {"changes": changes, "filesWithConflicts": [], "diff": ""}
    return values


def event(kind: str, author: str, date: str, data: Values) -> Values:
    return {"id": uuid.uuid4().hex[:24], "type": kind, "author": {"name": author}, "createdAt": date, "data": data}


def set_status(call: Call, repo: Repo, number: str) -> Values:
    one, status = repo.discussion(number), call.json["status"]
    if one["status"] == "merged" or status not in ("open", "closed"):
        raise HubError(400, f"A discussion that is {one['status']} cannot be set to {status}")
    one["status"] = status
    repo.save()
    return {"newStatus": event("status-change", one["author"], now(), {"status": status})}


def merge(call: Call, repo: Repo, number: str) -> Values:
    one, heads = repo.discussion(number), repo.refs["heads"]
    if not one["isPullRequest"] or one["status"] != "open":
        raise HubError(400, f"This pull request cannot be merged: it is {one['status']}")
    base, main, merged = one["base"], heads["main"], heads[f"refs/pr/{number}"]
    if main != base:
        before, after, files = (repo.commit(sha)["files"] for sha in (base, merged, main))
        for path in before.keys() | after.keys():
            if before.get(path) != after.get(path):
                files.pop(path, None)
                files |= {path: after[path]} if path in after else {}
        merged = repo.add_commit(main, files, f"{one['title']} (#{number})", one["description"], one["author"])
    heads["main"] = one["merged"] = merged
    one["status"] = "merged"
    repo.save()
    return {"mergeCommitId": merged}


# collections


def collections_in(folder: Path) -> dict[str, Values]:
    file = folder / "collections.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def keep(folder: Path, collection: Values) -> Values:
    everything = {**collections_in(folder), collection["slug"]: {**collection, "lastUpdated": now()}}
    write(folder, folder / "collections.json", json.dumps(everything).encode())
    return everything[collection["slug"]]


def create_collection(call: Call) -> Values:
    asked = call.json
    namespace, title = asked["namespace"], asked["title"]
    call.writer(namespace)
    for slug, one in collections_in(call.folder).items():
        if (one["owner"], one["title"]) == (namespace, title):
            raise HubError(409, "This collection already exists", slug=slug)
    slug = f"{namespace}/{re.sub('[^a-z0-9]+', '-', title.lower()).strip('-')}-{uuid.uuid4().hex[:24]}"
    made: Values = {"slug": slug, "title": title, "owner": namespace, "private": bool(asked.get("private"))}
    made |= {"description": asked.get("description"), "items": [], "position": 0, "theme": "blue", "upvotes": 0}
    return keep(call.folder, made)


def get_collection(call: Call, slug: str) -> Values:
    one = collections_in(call.folder).get(slug)
    if not one or (one["private"] and not (call.user and call.user.owns(one["owner"]))):
        raise HubError(404, "Collection not found")
    return one


def add_item(call: Call, slug: str) -> Values:
    call.writer(slug.split("/")[0])
    one, item, note = get_collection(call, slug), call.json["item"], call.json.get("note")
    open_repo(call, f"{item['type']}s", item["id"], to_write=False)
    if any((there["type"], there["id"]) == (item["type"], item["id"]) for there in one["items"]):
        raise HubError(409, "This item is already in the collection")
    entry = {"_id": uuid.uuid4().hex[:24], **item, "position": len(one["items"])}
    one["items"].append({**entry, "note": {"text": note}} if note else entry)
    return keep(call.folder, one)


# for tests


def control(call: Call, run: str) -> Values:
    if call.body:
        fault = call.json.get("fault")
        if fault and fault["kind"] not in FAULTS:
            raise HubError(400, f"Faults are {', '.join(FAULTS)}")
        call.runs[run] = Run(fault=fault)
    there = call.runs.get(run, Run())
    return {"requests": there.requests, "fired": there.fired}


def state(call: Call) -> Values:
    """What every repository holds, and the collections."""
    said: Values = {"collections": collections_in(call.folder)}
    for file in sorted(call.folder.glob("*/*/*/refs.json")):
        kind, namespace, name = file.parts[-4:-1]
        repo = Repo(call.folder, kind, f"{namespace}/{name}")
        heads, tags = repo.refs["heads"], repo.refs["tags"]
        pulls = [one for one in repo.refs["discussions"] if one["isPullRequest"]]
        trees = {sha: repo.commit(sha)["files"] for sha in (heads["main"], *tags.values())}
        said[f"{kind}/{repo.id}"] = {
            "private": repo.refs["private"],
            "branches": {name: sha for name, sha in heads.items() if not name.startswith("refs/pr/")},
            "tags": tags,
            "commits": [sha for sha, _ in repo.history(heads["main"])],
            "trees": {sha: {path: one["sha256"] for path, one in files.items()} for sha, files in trees.items()},
            "prs": [{**one, "head": heads[f"refs/pr/{one['num']}"]} for one in pulls],
        }
    return said


REPO_ID = r"[\w-][\w.-]*/[\w-][\w.-]*"
REPO = rf"/api/(?P<kind>models|datasets)/(?P<id>{REPO_ID})"
PREFIXED = rf"/(?:(?P<kind>models|datasets)/)?(?P<id>{REPO_ID})"
REVISION = r"(?P<revision>[^/]+)"
UPLOAD = r"/_upload/[^/]+/(?P<oid>[0-9a-f]{64})"
PULL = rf"{REPO}/discussions/(?P<number>\d+)"

# method, path, what it does, whether it writes to the repository
ROUTES: list[tuple[str, str, Callable[..., Any], bool]] = [
    ("GET", r"/_state", state, False),
    ("GET", r"/_control/(?P<run>[^/]+)", control, False),
    ("POST", r"/_control/(?P<run>[^/]+)", control, False),
    ("GET", r"/api/whoami-v2", whoami, False),
    ("POST", r"/api/repos/create", create_repo, False),
    ("POST", r"/api/validate-yaml", validate_yaml, False),
    ("POST", r"/api/collections", create_collection, False),
    ("GET", r"/api/collections/(?P<slug>[^/]+/[^/]+)", get_collection, False),
    ("POST", r"/api/collections/(?P<slug>[^/]+/[^/]+)/items", add_item, False),
    ("PUT", UPLOAD, put_object, False),
    ("POST", rf"{PREFIXED}\.git/info/lfs/objects/batch", lfs_batch, True),
    ("POST", rf"{PREFIXED}\.git/info/lfs/verify", verify, True),
    ("GET", rf"{PREFIXED}/resolve/{REVISION}/(?P<path>.+)", resolve, False),
    ("GET", REPO, info, False),
    ("GET", rf"{REPO}/revision/{REVISION}", info, False),
    ("GET", rf"{REPO}/tree/{REVISION}(?:/(?P<path>.+))?", tree, False),
    ("POST", rf"{REPO}/paths-info/{REVISION}", paths_info, False),
    ("GET", rf"{REPO}/refs", refs, False),
    ("GET", rf"{REPO}/commits/{REVISION}", commits, False),
    ("PUT", rf"{REPO}/settings", settings, True),
    ("POST", rf"{REPO}/preupload/{REVISION}", preupload, True),
    ("POST", rf"{REPO}/commit/{REVISION}", commit, True),
    ("POST", rf"{REPO}/tag/{REVISION}", add_tag, True),
    ("GET", rf"{REPO}/discussions", discussions, False),
    ("POST", rf"{REPO}/discussions", create_discussion, True),
    ("GET", PULL, details, False),
    ("POST", rf"{PULL}/status", set_status, True),
    ("POST", rf"{PULL}/merge", merge, True),
]


def answer(call: Call, method: str, path: str) -> Reply:
    for its_method, pattern, function, writes in ROUTES:
        found = re.fullmatch(pattern, path) if its_method == method else None
        if found:
            parts: Values = {name: unquote(value) for name, value in found.groupdict().items() if value}
            if "id" in parts:
                parts["repo"] = open_repo(call, parts.pop("kind", "models"), parts.pop("id"), writes)
            said = function(call, **parts)
            return said if isinstance(said, Reply) else Reply(said)
    raise HubError(404, "Sorry, we can't find the page you are looking for.")


class HubServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, port: int) -> None:
        shutil.rmtree(folder / "unfinished", ignore_errors=True)  # of a server that was killed
        for name in ("unfinished", "objects"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        super().__init__(("127.0.0.1", port), Handler)
        self.folder = folder
        self.runs: dict[str, Run] = {}
        self.lock = threading.Lock()  # held by one request after the other, when it is received and not yet answered

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error here."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # so that a small reply is one write

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        fault = self.fault(path)
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # not by the server, which would end it in the orderly way
            self.close_connection = True
            return
        body = self.receive()  # always, as what is left unread would be taken for the next request
        if fault == "slow":
            time.sleep(0.5)
        if fault in ("429", "500", "503"):
            headers = {"Retry-After": "1"} if fault == "429" else {}
            reply = Reply({"error": f"{fault}, as a test asked for"}, int(fault), headers)
        else:
            reply = self.reply(path, query, body)
        if fault == "late":
            time.sleep(0.5)
        if fault == "lost":
            self.close_connection = True
        else:
            self.send(reply)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815

    def fault(self, path: str) -> str | None:
        """Notes the request; returns what is to happen to it."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        found = re.match(r"/_upload/(?P<run>[^/]+)/", path) or TOKEN.fullmatch(token)
        if not found or path.startswith("/_control/"):
            return None
        with self.server.lock:
            run = self.server.runs.setdefault(found["run"], Run())
            run.requests.append(f"{self.command} {self.path}")
            if run.fired or not run.fault or run.fault["at"] != len(run.requests):
                return None
            run.fired = True
            return str(run.fault["kind"])

    def receive(self) -> bytes:
        """The body; raises ConnectionError where the client goes away."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.exactly(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline() or b"0", 16):
            parts.append(self.exactly(size))
            self.rfile.readline()
        if not self.rfile.readline():
            raise ConnectionAbortedError("the body ends too early")
        return b"".join(parts)

    def exactly(self, size: int) -> bytes:
        content = self.rfile.read(size)
        if len(content) < size:
            raise ConnectionAbortedError("the body ends too early")
        return content

    def reply(self, path: str, query: str, body: bytes) -> Reply:
        server = self.server
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        address = f"http://{self.headers['Host']}"
        try:
            user = user_of(self.headers.get("Authorization", ""))
            with server.lock:
                call = Call(server.folder, server.runs, address, asked, body, user)
                return answer(call, "GET" if self.command == "HEAD" else self.command, path)
        except HubError as error:
            return error.reply
        except Exception:
            traceback.print_exc()
            return Reply({"error": "Internal Error - We're working hard to fix this as soon as possible!"}, 500)

    def send(self, reply: Reply) -> None:
        status, headers = reply.status, {"Content-Type": "application/json", **reply.headers}
        if isinstance(reply.body, Path):
            content = reply.body.read_bytes()
            headers |= {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
            asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            if asked and any(asked.groups()):
                size = len(content)
                start = int(asked[1]) if asked[1] else max(size - int(asked[2]), 0)
                content = content[start : int(asked[2]) + 1 if asked[1] and asked[2] else size]
                status, which = (206, f"{start}-{start + len(content) - 1}") if content else (416, "*")
                headers["Content-Range"] = f"bytes {which}/{size}"
        else:
            content = json.dumps(reply.body, default=str).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def hub(folder: Path) -> Iterator[str]:
    """The address of a running Hub, in a process of its own."""
    command = [sys.executable, str(Path(__file__)), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, "the Hub did not start"
            yield address
        finally:
            process.terminate()


if __name__ == "__main__":
    server = HubServer(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
