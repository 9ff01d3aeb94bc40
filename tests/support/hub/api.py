"""The Hub's API, a function for each route: what a request asks of a repository, a collection or a user."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import yaml
from support.hub.store import (
    HubError,
    Reply,
    Repo,
    Values,
    add_file,
    collections_in,
    entry_of,
    keep,
    now,
    object_path,
    pointer,
    write,
)

AS_LFS = (".parquet", ".safetensors", ".bin", ".png", ".jpg", ".jpeg", ".mp4", ".npz", ".zip")
LARGE = 10_000_000  # bytes; from here on every file goes to LFS
FAULTS = ("reset", "lost", "slow", "late", "change")  # and statuses
STALE = "The branch was updated since you opened this page. Please refresh and try again."
WHO = "Invalid credentials in Authorization header"
TOKEN = re.compile(r"hf_(?P<name>[^_]+)_(?P<role>write|read|fine)_(?P<run>[^_]+)")


@dataclass(frozen=True)
class User:
    """What a token says."""

    name: str
    role: str
    run: str

    def owns(self, namespace: str) -> bool:
        return namespace in (self.name, f"{self.name}-lab")

    def may_write(self, namespace: str, repo: tuple[str, str] | None = None) -> bool:
        """Into a namespace, or into a repository of it: models or datasets, and its id."""
        if self.role == "fine":
            own = namespace == self.name and self.run.startswith("w")
            return own or (repo is not None and self.scope == (repo[0][:-1], repo[1]))
        return self.role == "write" and self.owns(namespace)

    @property
    def scope(self) -> tuple[str, str] | None:
        """The one repository that a fine-grained token is for: dataset or model, and its id."""
        kind, _, name = self.run.partition("-")
        return (kind, f"{self.name}/{name}") if self.role == "fine" and kind in ("dataset", "model") else None


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

    def writer(self, namespace: str, repo: tuple[str, str] | None = None) -> User:
        """The user, who may write into the namespace, or into that repository of it."""
        if self.user is None:
            raise HubError(401, "You need to log in")
        if not self.user.may_write(namespace, repo):
            raise HubError(403, f"You don't have the rights to write to the namespace {namespace} with this token")
        return self.user


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
        scoped: list[Values] = [{"entity": {"type": "user", "name": user.name}, "permissions": may}]
        if user.scope:
            kind, repo_id = user.scope
            entity = {"type": kind, "name": repo_id}
            scoped = [{"entity": entity, "permissions": ["repo.content.read", "repo.write"]}]
        token["fineGrained"] = {"canReadGatedRepos": False, "global": [], "scoped": scoped}
    return {
        "type": "user",
        "name": user.name,
        "fullname": user.name.title(),
        "orgs": [
            {"name": f"{user.name}-lab", "roleInOrg": "admin"},
            {"name": f"{user.name}-readers", "roleInOrg": "read"},
        ],
        "auth": {"type": "access_token", "accessToken": token},
    }


# repositories


def open_repo(call: Call, kind: str, repo_id: str, to_write: bool) -> Repo:
    namespace = repo_id.split("/")[0]
    if to_write:
        call.writer(namespace, (kind, repo_id))
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


def lfs_values(entry: Values, key: str) -> Values:
    sha256, size = entry["sha256"], entry["size"]
    return {key: sha256, "size": size, "pointerSize": len(pointer(sha256, size))}


def card_of(text: str) -> Any:
    """The front matter of a card; raises yaml.YAMLError."""
    found = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    return yaml.safe_load(found[1]) if found else None


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


def change_collection(call: Call, slug: str) -> Values:
    call.writer(slug.split("/")[0])
    asked = {name: value for name, value in call.json.items() if value is not None}
    return {"data": keep(call.folder, {**get_collection(call, slug), **asked})}


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
        if fault and fault["kind"] not in FAULTS and not fault["kind"].isdigit():
            raise HubError(400, f"Faults are {', '.join(FAULTS)}, and statuses")
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
    ("PATCH", r"/api/collections/(?P<slug>[^/]+/[^/]+)", change_collection, False),
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
