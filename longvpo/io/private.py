"""What of this machine is cut from a text before others read it: the folders above a name, and what signs an address.

The rule: a path outside the user's own folder is shown by its last name. An address is shown without user, password,
query and fragment. Whole values are cut, in every form in which a path or an address is written, with blanks, quotes
and brackets around it. In running text, addresses and paths in quotes are shortened so. The end of any other path
cannot be known (leaks.py looks for what is left).
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)
WITHIN = re.compile(  # with a host of IPv6, and a user and a password that hold what else ends an address
    r"[A-Za-z][A-Za-z0-9+.-]+://(?:[^\s/?#]*@)?(?:\[[^\]\s]*\])?[^\s'\"<>()\[\]?#]*(?:[?#][^\s'\"<>]*)?"
)
CHAIN = re.compile(r"::(?=[A-Za-z][A-Za-z0-9+.-]+://|[/~.]|[A-Za-z]:[\\/])")  # fsspec's, as in zip://a::https://b
HOST = re.compile(r"[^:]*(:\d*)?|\[.*\](:\d*)?")
PARAMETERS = re.compile(r";[^/;=]*=[^/;]*")
QUERY = re.compile(r"[?#&;][\w.~%-]+=")
# what stands before a path: another machine, with or without a user, or a scheme
ELSEWHERE = re.compile(r"([\w.+-]+@)?[\w.+-]{2,}:(?=[/~]|\\\\)|file:(?=[.\\]|[A-Za-z]:[\\/])", re.IGNORECASE)
QUOTED = re.compile(r"""(['"`])((?:[/~]|[A-Za-z]:[\\/]|\\\\)[^'"`\n]*[\\/][^'"`\n]*)\1""")
BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u2060\ufeff"
AROUND = BLANKS + "\"'`´‘’“”„«»‹›<>()[]{}"
TOKEN = re.compile(r"[<\[({]+/[^/\\\s]+[>\])}]+")  # such as </s> and [/INST], which are not paths
WINDOWS = re.compile(r"[A-Za-z]:[\\/]|[A-Za-z]:[^\s\\/]+\\|\\\\")  # a drive, a folder of a drive, another machine
REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?(@\S+)?", re.ASCII)  # as the Hub's ids are, perhaps with a revision
FOLDERS = ("folder", "overlap", "frames")  # keys of recipes whose values are paths, and so are those in `videos`
EITHER = ("dataset", "adapter", "model", "name_or_path", "_name_or_path", "base_model_name_or_path")
TEXTS = ("prompts", "about", "example", "failures")  # texts of a user or a model: they stay as they are


def cut(text: str) -> str:
    """A value that may be a path or an address, as it may be published; any other is returned as it is.

    An absolute path, and one that climbs or begins at a home or at this folder, becomes its last name. What stands
    around a value that is cut is left out.
    """
    if TOKEN.fullmatch(text.strip()):
        return text
    left = text.lstrip(AROUND)
    bare = left.rstrip(BLANKS if left == text.lstrip(BLANKS) else AROUND)
    told = _cut(bare)
    return text if told == bare else told


def cut_within(text: str) -> str:
    """Running text, each address and each quoted path in it cut. Leave any other path out of it, or replace it."""
    text = WITHIN.sub(lambda found: _cut(found[0]), text)
    return QUOTED.sub(lambda found: f"{found[1]}{_last(found[2])}{found[1]}", text)


def _cut(text: str) -> str:
    links = CHAIN.split(text) if "://" in text else [text]
    if len(links) > 1:
        return "::".join(map(_cut, links))
    address = ADDRESS.fullmatch(text)
    if address:
        local = address["scheme"].lower() == "file" or address["rest"].startswith("/")
        return _last(re.split(r"[?#]", text, maxsplit=1)[0]) if local else _cut_address(address)
    found = WITHIN.search(text)
    if found:  # a path before it, as in /vsicurl/https://host, is not told
        return cut_within(text[found.start() :] if _is_path(text) else text)
    elsewhere = ELSEWHERE.match(text)
    if elsewhere:
        return _last(text[elsewhere.end() :])
    return _last(text) if _is_path(text) else cut_within(text)


def _cut_address(address: re.Match[str]) -> str:
    rest = address["rest"]
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" not in place and not HOST.fullmatch(place) and "@" in rest:  # what ends a host is in the password
        rest = rest.partition("@")[2]
    place, slash, path = PARAMETERS.sub("", re.split(r"[?#]", rest, maxsplit=1)[0]).partition("/")
    return f"{address['scheme']}://{place.rpartition('@')[2]}{slash}{cut_within(path)}"


def _is_path(text: str) -> bool:
    if "\n" in text:
        return False
    begins = text.startswith(("/", "./", ".\\")) or re.match(r"~[^\s\\/]*[\\/]", text) or WINDOWS.match(text)
    return bool(begins or re.search(r"(^|[\\/])\s*\.\.\s*[\\/]", text))


def _last(path: str) -> str:
    """The last name of a path, or of an address without its scheme."""
    of_host = path.startswith("//")
    name = last_name((re.compile(r"[?#]") if of_host else QUERY).split(path, maxsplit=1)[0])
    return name.rpartition("@")[2] if of_host else name


def last_name(path: str | Path) -> str:
    """The last name of a path of any system; for a home folder, only that it is one."""
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
