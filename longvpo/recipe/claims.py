"""Statements of a recipe about the videos and models that it names, such as a licence.

The rule: a statement is only about what the recipe names. Where a command line names other videos or models, the old
statements are dropped, unless the same command line repeats them. Drawn videos have a file with statements of their
own, which is true for no other videos.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError
from longvpo.io.files import as_json, file_hash, read_json, text_hash, write_text
from longvpo.recipe.sections import Section, section_in
from longvpo.recipe.sources import SourceSection

Key = tuple[str | int, ...]
STATEMENT = "source.json"  # next to drawn videos: values of the keys of a source that describe them


def drop_stale(kind: type[Section], before: Mapping[str, Any], after: dict[str, Any], given: set[Key]) -> list[str]:
    """Delete from `after` the statements about videos and models that the recipe does not name any more.

    Args:
        before: the values in the recipe's file.
        after: the same values with the overrides of a command line.
        given: the keys that the overrides set.

    Returns:
        The dropped keys, as dotted names.
    """
    old = dict(_sections(kind, before))
    dropped = []
    for (key, section), values in _sections(kind, after):
        was = old.get((key, section))
        if was is None:  # the section is new: the recipe says nothing in it
            continue
        stale = {
            name
            for named, speaking in section.said_of(values).items()
            if _others(section, named, was, values)
            for name in speaking
        }
        for name in sorted(stale & values.keys()):
            place = (*key, name)
            if values[name] != section.model_fields[name].default and not any(
                place[: len(one)] == one or one[: len(place)] == place for one in given
            ):
                del values[name]
                dropped.append(".".join(map(str, place)))
    return dropped


def _others(section: type[Section], key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a key names something new. It does not count where it only names less."""
    field = section.model_fields[key]
    inner = section_in(field.annotation)
    old, new = (values.get(key, field.default) for values in (before, after))
    if inner is None:
        return _normal(old) != _normal(new)
    olds, news = (part if isinstance(part, list) else [part] for part in (old, new))
    for place, item in enumerate(news):
        if isinstance(item, dict):
            was = olds[place] if place < len(olds) else None
            if not isinstance(was, dict) or any(_others(inner, name, was, item) for name in inner.said_of(item)):
                return True
    return False


def _normal(value: Any) -> Any:
    """One spelling for each path; a Hub id does not change."""
    return os.path.normpath(os.path.expanduser(value)) if isinstance(value, str) and value else value


def _sections(
    kind: type[Section], values: Any, key: Key = ()
) -> Iterator[tuple[tuple[Key, type[Section]], dict[str, Any]]]:
    """Every section in a recipe's values, with its key and kind. Values of a wrong type are left to pydantic."""
    if isinstance(values, list):
        for place, item in enumerate(values):
            yield from _sections(kind, item, (*key, place))
    elif isinstance(values, dict):
        yield (key, kind), values
        for name, field in kind.model_fields.items():
            inner = section_in(field.annotation)
            if inner and name in values:
                yield from _sections(inner, values[name], (*key, name))


def add_stated(kind: type[Section], values: dict[str, Any]) -> None:
    """Add what the file next to a source's videos states, where the recipe does not state it."""
    for (_, section), source in _sections(kind, values):
        if issubclass(section, SourceSection):
            for name, said in _stated(source).items():
                source.setdefault(name, said)


def leave_stated(kind: type[Section], values: dict[str, Any]) -> None:
    """Undo add_stated: a written recipe leaves out what the file next to the videos states."""
    for (_, section), source in _sections(kind, values):
        if issubclass(section, SourceSection):
            for name, said in _stated(source).items():
                if source.get(name) == said:
                    del source[name]


def state(folder: Path, about: str, license: str = "apache-2.0") -> None:
    """Write a file next to drawn videos: nobody owns them, and everybody may publish them."""
    said = {"license": license, "redistribution": True, "about": about}
    write_text(folder / STATEMENT, as_json(said | {"of": _content(folder)}))


def _stated(source: Mapping[str, Any]) -> dict[str, Any]:
    """What the file next to a source's videos states; nothing where it was written for other videos."""
    if source.get("dataset") is not None or not isinstance(source.get("folder"), str):
        return {}
    folder = Path(os.path.expanduser(source["folder"]))
    try:
        said = read_json(folder / STATEMENT)
        ours = isinstance(said, dict) and said.get("of") == _content(folder)
    except (OSError, LongVPOError, ValueError):
        return {}
    return {name: said[name] for name in SourceSection.OF_VIDEOS} if ours else {}


def _content(folder: Path) -> str:
    """A hash that changes with the table, and with the names and sizes of the videos."""
    said = [file_hash(folder / "metadata.jsonl")]
    said += sorted(f"{path.name} {path.stat().st_size}" for path in (folder / "videos").iterdir())
    return text_hash("\n".join(said))
