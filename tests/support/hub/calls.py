"""Who asks the Hub on this machine, and what for."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from support.hub.store import (
    HubError,
    Repo,
    Values,
)

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


STALE = "The branch was updated since you opened this page. Please refresh and try again."


def open_repo(call: Call, kind: str, repo_id: str, to_write: bool) -> Repo:
    namespace = repo_id.split("/")[0]
    if to_write:
        call.writer(namespace, (kind, repo_id))
    repo = Repo(call.folder, kind, repo_id)
    if not repo.there or (repo.refs["private"] and not (call.user and call.user.owns(namespace))):
        raise HubError(404, "Repository not found", "RepoNotFound")
    return repo
