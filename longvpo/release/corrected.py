"""What people state of a result, said otherwise afterwards: nothing is built or trained again.

    longvpo card my-triplets license=cc-by-4.0 sources.mine.about="Filmed by me."

The rule: what was measured stays, and so does recipe.yaml, which is what was run. facts.json and the rows have what
holds now, and provenance.json has what was said before.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError, did_you_mean, say
from longvpo.io.files import PROVENANCE, as_json, whole_file, write_text
from longvpo.io.records import read_record, reading_parquet
from longvpo.io.yaml_text import parse_value
from longvpo.recipe.training import REPOSITORY
from longvpo.release.cards import kind_of
from longvpo.release.closed import closed_in, frames_in
from longvpo.release.licenses import UNKNOWN, check_license
from longvpo.release.parquet import shards
from longvpo.release.words import make_way

STATED = "stated"  # in facts.json: what else a person states, by key
CORRECTED = "corrected"  # in provenance.json: by key, what was said before and what is said now
OF_RELEASE = ("release", "files")  # keys of provenance.json of what was published, which this is no more
TEXTS = ("about", "notes")
CODE = re.compile(r"[a-z]{2,12}(-[A-Za-z0-9]{1,8})*\Z")  # a language: en, deu, zh-Hant
OF_SOURCE = ("license", "redistribution", "about")


def correct(folder: Path, changes: list[str]) -> None:
    """Take over changes as KEY=VALUE; the card is written by others.

    Raises:
        LongVPOError: the folder holds no result, or a key or a value is none that a card states.
    """
    kind = kind_of(folder)
    facts, provenance = read_record(folder / "facts.json"), read_record(folder / PROVENANCE)
    recipe = read_record(folder / "recipe.yaml")
    values = dict(_read(change) for change in changes)
    known = _keys(kind, facts)
    for key in values:
        if key not in known:
            raise LongVPOError(
                f"a card states no {key}{did_you_mean(key, known)}: it states {', '.join(known)}. What was measured "
                "cannot be changed"
            )
    values = {key: _checked(key, value) for key, value in values.items()}
    said = dict(provenance.get(CORRECTED, {}))
    for key, value in values.items():
        before = _before(key, facts, recipe)
        said[key] = {"from": said.get(key, {}).get("from", before), "to": value}
        _set(key, value, facts)
    if "notes" in values:
        make_way(folder, read_record(folder / "facts.json"), recipe)
    closed = closed_in(facts)
    held = frames_in(folder) if closed else []
    for key, value in values.items():  # rows first: a kill between leaves a change that is made again
        if key.startswith("sources.") and key.endswith(".license"):
            _change_rows(folder, key.split(".", 1)[1].rpartition(".")[0], str(value))
    write_text(folder / "facts.json", as_json(facts))
    kept = {key: value for key, value in provenance.items() if key not in OF_RELEASE}
    write_text(folder / PROVENANCE, as_json(kept | {CORRECTED: said}))
    if held:
        say(
            f"note: the sampled frames stand in {' and '.join(held)} (embed: frames): with source {closed[0]} closed, "
            "`longvpo push` refuses"
        )


def _read(change: str) -> tuple[str, Any]:
    key, equals, text = change.partition("=")
    if not equals:
        raise LongVPOError(f"cannot read {change!r}: write it as KEY=VALUE, such as license=cc-by-4.0")
    try:
        value = parse_value(text)
    except ValueError:  # a text that begins as a list, and does not end as one
        value = text
    last = key.rpartition(".")[2]
    # prose is taken as it stands, also where YAML would see a section or a number in it
    prose = last in TEXTS or not text.strip() or (last == "name" and isinstance(value, int | float))
    return key, text if prose and not isinstance(value, str) else value


def _keys(kind: str, facts: dict[str, Any]) -> list[str]:
    """What can be said of such a result."""
    if kind == "model":
        return ["name", "license", "base.license", "base.hub_id", "language", "notes"]
    return ["name", "license", "language", "notes"] + [
        f"sources.{source['name']}.{part}" for source in facts["sources"] for part in OF_SOURCE
    ]


def _checked(key: str, value: Any) -> Any:
    """The value as it is kept. Raises LongVPOError where it is none of that key."""
    last = key.rpartition(".")[2]
    if last == "license" and (value is None or isinstance(value, str)):
        return check_license(value, key, f"{key}=")
    if last == "license":
        wrong, want = True, "one id, such as cc-by-4.0"
    elif last == "hub_id":
        wrong, want = not isinstance(value, str) or not REPOSITORY.fullmatch(value), "an id such as me/my-base"
    elif last == "redistribution":
        wrong, want = not isinstance(value, bool), "true or false"
    elif last == "language":
        value = [value] if isinstance(value, str) else value
        codes = isinstance(value, list) and [one for one in value if isinstance(one, str) and CODE.match(one)]
        wrong = not codes or codes != value
        want = "codes such as [en, de]"
    elif last == "name":
        wrong = not isinstance(value, str) or not value.strip() or value.splitlines() != [value]
        want = "a text of one line"
    else:
        wrong, want = False, "a text"
    if wrong:
        raise LongVPOError(f"{key} must be {want} (got {value!r:.80})")
    return value


def _place(key: str, facts: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The part of facts.json that has a key's value, and its name there."""
    if key.startswith("sources."):
        name, _, part = key.removeprefix("sources.").rpartition(".")
        return next(source for source in facts["sources"] if source["name"] == name), part
    return (facts, key) if key in ("name", "license") else (facts.setdefault(STATED, {}), key)


def _before(key: str, facts: dict[str, Any], recipe: dict[str, Any]) -> Any:
    place, name = _place(key, facts)
    of_recipe: dict[str, Callable[[], Any]] = {
        "language": lambda: list(recipe["language"]),
        "base.license": lambda: recipe["base"]["license"],
        "base.hub_id": lambda: recipe["base"].get("hub_id"),
        "notes": lambda: recipe.get("notes", ""),
    }
    return place[name] if name in place or name not in of_recipe else of_recipe[name]()


def _set(key: str, value: Any, facts: dict[str, Any]) -> None:
    place, name = _place(key, facts)
    place[name] = value
    if key == "base.license" and facts["license"] == UNKNOWN:  # the adapter's is that of its base
        facts["license"] = value


def _change_rows(folder: Path, source: str, license_id: str) -> None:
    """Write the licence of a source's clips and scenes into their rows, a row group at a time."""
    import pyarrow
    from pyarrow import compute, parquet

    for path in [path for config in ("clips", "scenes") for path in shards(folder / config)]:
        with reading_parquet(path):
            old = parquet.ParquetFile(path)
        # its name keeps the hash of what it was: it is put in place by one step, and datasets' cache goes by the card
        with old, whole_file(path) as file:
            schema = old.schema_arrow
            options = {"use_content_defined_chunking": True, "write_page_index": True}
            with parquet.ParquetWriter(file, schema, **options) as writer:
                for number in range(old.num_row_groups):
                    rows = old.read_row_group(number)
                    its = compute.equal(rows["source"], source)
                    column = compute.if_else(its, pyarrow.scalar(license_id), rows["license"])
                    place = rows.schema.get_field_index("license")
                    writer.write_table(rows.set_column(place, schema.field(place), column))
