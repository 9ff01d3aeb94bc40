"""Files and commits: how they come to the Hub on this machine, and what it says of them."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from urllib.parse import parse_qs

from support.hub.calls import STALE, Call
from support.hub.store import (
    HubError,
    Reply,
    Repo,
    Values,
    add_file,
    entry_of,
    object_path,
    pointer,
    write,
)

AS_LFS = (".parquet", ".safetensors", ".bin", ".png", ".jpg", ".jpeg", ".mp4", ".npz", ".zip")


LARGE = 10_000_000  # bytes; from here on every file goes to LFS


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
    heads, author = repo.refs["heads"], call.writer(repo.id.split("/")[0], (repo.kind, repo.id)).name
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


def lfs_values(entry: Values, key: str) -> Values:
    sha256, size = entry["sha256"], entry["size"]
    return {key: sha256, "size": size, "pointerSize": len(pointer(sha256, size))}
