"""Pull requests, and collections."""

from __future__ import annotations

import re
import uuid

from support.hub.calls import Call, open_repo
from support.hub.store import (
    HubError,
    Repo,
    Values,
    collections_in,
    keep,
    now,
)


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
