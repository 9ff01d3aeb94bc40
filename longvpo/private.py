"""What of this machine is cut from a text before others read it: the folders above a name, and what signs an address.

The rule: a path that is not one inside the user's own folder is told by its last name; an address without user,
password, query and fragment. Whole values are cut, in every form in which a path or an address is written; running
text is not, as nobody can say where in it a path with blanks ends (leaks.py looks for what is left).
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)
WINDOWS = re.compile(r"[A-Za-z]:[\\/]|[A-Za-z]:[^\s\\/]+\\|\\\\")  # a drive, a folder of a drive, another machine
REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?(@\S+)?", re.ASCII)  # as the Hub's ids are, perhaps with a revision
FOLDERS = ("folder", "overlap")  # keys of recipes whose values are always paths, and so are those in `videos`
EITHER = ("dataset", "adapter", "model", "name_or_path", "_name_or_path", "base_model_name_or_path")
TEXTS = ("prompts", "about", "example", "failures")  # of a user or a model, not to be changed: what a row says is said


def cut(text: str) -> str:
    """A value that may be a path or an address, as it may be published; any other is returned as it is.

    An absolute path, and one that climbs or begins at a home or at this folder, becomes its last name.
    """
    address = ADDRESS.fullmatch(text)
    if address and address["scheme"].lower() != "file":
        place, slash, path = re.split(r"[?#]", address["rest"], maxsplit=1)[0].partition("/")
        return f"{address['scheme']}://{place.rpartition('@')[2]}{slash}{path}"
    if address or text.lower().startswith("file:/"):
        return last_name(re.split(r"[?#]", text, maxsplit=1)[0])
    if "\n" in text:
        return text
    begins = text.startswith(("/", "./", ".\\")) or re.match(r"~[^\s\\/]*[\\/]", text) or WINDOWS.match(text)
    return last_name(text) if begins or ".." in re.split(r"[\\/]", text) else text


def cut_within(text: str) -> str:
    """Running text of a library, each address in it cut. A path in it is not found: leave it out, or replace it."""
    return re.sub(r"[A-Za-z][A-Za-z0-9+.-]+://[^\s'\"<>)\]]*", lambda found: cut(found[0]), text)


def last_name(path: str | Path) -> str:
    """The last name of a path of any system; of a home, no more than that it is one."""
    text = str(path)
    kind = PureWindowsPath if WINDOWS.match(text) or "/" not in text else PurePosixPath
    name = kind(text).name or next((part for part in reversed(re.split(r"[\\/]+", text)) if part), text)
    return "~" if name == text and re.fullmatch(r"~[\w.-]*", name) else name


def public(value: Any, key: str = "") -> Any:
    """Values of a JSON or YAML file without folders of this machine and without what signs an address.

    Args:
        key: under which the value stands.
    """
    if isinstance(value, dict):
        named = _keys(value, key)
        return {name: public(item, named[name]) if name in named else item for name, item in value.items()}
    if isinstance(value, list):
        return [public(item, key) for item in value]
    if not isinstance(value, str) or not value:
        return value
    return last_name(value) if _is_folder(value, key) else cut(value)


def local_folders(value: Any, key: str = "") -> list[str]:
    """The folders of this machine that the values of a recipe name."""
    if isinstance(value, dict):
        return [path for name, inside in _keys(value, key).items() for path in local_folders(value[name], inside)]
    if isinstance(value, list):
        return [path for item in value for path in local_folders(item, key)]
    return [value] if isinstance(value, str) and value and _is_folder(value, key) else []


def _keys(values: dict[str, Any], key: str) -> dict[str, str]:
    """The keys of a section that hold no texts, and what they mean for what they hold."""
    if key == "videos":  # a folder of each source, by the source's name
        return dict.fromkeys(values, "folder")
    said = {name: name for name in values if name not in TEXTS}
    return said | ({"model": ""} if "model" in said and values.get("endpoint") else {})  # a name that a server gives


def _is_folder(value: str, key: str) -> bool:
    either = key in EITHER and "://" not in value and (not REPOSITORY.fullmatch(value) or Path(value).is_dir())
    return key in FOLDERS or either
