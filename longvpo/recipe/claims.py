"""What a recipe says of the videos and models that it names, such as a licence: it is said only of those.

The rule: where a command line names others, what the recipe said of the old ones is dropped, unless the same command
line says it anew. Drawn videos say what they are in a file beside them, which holds for no other videos.
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
STATEMENT = "source.json"  # beside videos that we have drawn: the keys of a source that speak of them


def drop_stale(kind: type[Section], before: Mapping[str, Any], after: dict[str, Any], given: set[Key]) -> list[str]:
    """Delete from `after` what the recipe says of other videos and models than those that it names now.

    Args:
        before: the recipe's values as its file has them.
        after: the same with the overrides of a command line.
        given: the keys that these set.

    Returns:
        The keys that were dropped, with their dots.
    """
    old = dict(_sections(kind, before))
    dropped = []
    for (key, section), values in _sections(kind, after):
        was = old.get((key, section))
        if was is None:  # it is new: nothing in it is the recipe's
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
    """Whether a key names something that it did not name before; that it names less does not count."""
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
    """One spelling of a path; a Hub id is as it is."""
    return os.path.normpath(os.path.expanduser(value)) if isinstance(value, str) and value else value


def _sections(
    kind: type[Section], values: Any, key: Key = ()
) -> Iterator[tuple[tuple[Key, type[Section]], dict[str, Any]]]:
    """Every section in a recipe's values, with its key and kind; what is not a section there is left to pydantic."""
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
    """Let sources say what is stated beside their videos, where the recipe does not say it itself."""
    for (_, section), source in _sections(kind, values):
        if issubclass(section, SourceSection):
            for name, said in _stated(source).items():
                source.setdefault(name, said)


def leave_stated(kind: type[Section], values: dict[str, Any]) -> None:
    """The other way round: what is stated beside the videos is not said in a recipe that others may change."""
    for (_, section), source in _sections(kind, values):
        if issubclass(section, SourceSection):
            for name, said in _stated(source).items():
                if source.get(name) == said:
                    del source[name]


def state(folder: Path, about: str, license: str = "apache-2.0") -> None:
    """Write beside drawn videos what they are: nobody's footage, which all may publish."""
    said = {"license": license, "redistribution": True, "about": about}
    write_text(folder / STATEMENT, as_json(said | {"of": _content(folder)}))


def _stated(source: Mapping[str, Any]) -> dict[str, Any]:
    """What lies beside a source's videos, if it is of these very videos; another file of that name says nothing."""
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
    """Changes with the table, and with the names and sizes of the videos."""
    said = [file_hash(folder / "metadata.jsonl")]
    said += sorted(f"{path.name} {path.stat().st_size}" for path in (folder / "videos").iterdir())
    return text_hash("\n".join(said))
