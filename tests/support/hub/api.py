"""The Hub's API, a function for each route: what a request asks of a repository, a collection or a user."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import yaml
from support.hub.calls import WHO, Call, Run, open_repo
from support.hub.commits import (
    AS_LFS,
    commit,
    lfs_batch,
    lfs_values,
    paths_info,
    preupload,
    put_object,
    resolve,
    tree,
    verify,
)
from support.hub.store import (
    HubError,
    Reply,
    Repo,
    Values,
    add_file,
    collections_in,
    now,
    object_path,
)
from support.hub.talks import (
    add_item,
    change_collection,
    create_collection,
    create_discussion,
    details,
    discussions,
    get_collection,
    merge,
    set_status,
)

FAULTS = ("reset", "lost", "slow", "late", "change")  # and statuses


# users


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
