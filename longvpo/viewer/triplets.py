"""Rows of a dataset as tables of the page. Each clip is told once; rows name it by its number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from longvpo.clips.published import ABOUT
from longvpo.clips.stored import config_names, load_rows
from longvpo.io.private import cut
from longvpo.viewer.parts import facet
from longvpo.viewer.subject import CONFIGS, Subject

TOLD = ("caption", "license")  # what the configs clips and scenes say of a clip
KEPT = (  # columns of a triplet that the page shows as they are
    *("chosen", "rejected", "anchors", "similarity", "specificity", "task", "answer_type", "trace", "scenes", "seed"),
    *("recipe", "writer", "judge", "question_writer"),
)
MODELS = ("writer", "judge", "question_writer")


class Clips:
    """The clips of all contexts, numbered in the order in which they are named.

    Args:
        told: what is known of clips, by clip_id.
    """

    def __init__(self, told: Mapping[str, Mapping[str, Any]]) -> None:
        self.told = told
        self.all: list[dict[str, Any]] = []
        self._numbers: dict[tuple[Any, ...], int] = {}

    def numbers(self, clips: Iterable[Mapping[str, Any]]) -> list[int]:
        return [self._number(clip) for clip in clips]

    def _number(self, clip: Mapping[str, Any]) -> int:
        key = clip["source"], clip["video"], clip["start"], clip["end"]
        if key not in self._numbers:
            self._numbers[key] = len(self.all)
            span = {name: clip[name] or 0.0 for name in ("start", "end")}  # rows made by hand may have none
            told = self.told.get(clip.get("clip_id", ""), {})
            self.all.append({"source": clip["source"], "video": clip["video"], **span, **told})
        return self._numbers[key]


def read_tables(subject: Subject) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Clips]:
    """The triplets of both stages, the dropped rows, and what is known of clips.

    Raises:
        LongVPOError: a table cannot be read.
    """
    there = config_names(subject.place, subject.revision)
    told: dict[str, dict[str, Any]] = {}
    for config in sorted({*ABOUT.values()} & {*there}):
        rows = load_rows(subject.place, config, "train", subject.revision)
        columns = [name for name in TOLD if name in rows.column_names]
        for clip_id, *values in zip(rows["clip_id"][:], *(rows[name][:] for name in columns), strict=True):
            told[clip_id] = dict(zip(columns, values, strict=True))
    read = {
        config: load_rows(subject.place, config, "train", subject.revision).to_list()
        for config in (*CONFIGS, "dropped")
        if config in there
    }
    triplets = [row | {"stage": int(config[-1])} for config in CONFIGS for row in read.get(config, [])]
    return triplets, read.get("dropped", []), Clips(told)


def triplet_item(row: Mapping[str, Any], clips: Clips) -> dict[str, Any]:
    """What the page shows of a triplet, beside what its index says; columns that are empty are left out."""
    kept = {name: row.get(name) for name in KEPT}
    kept |= {name: cut(row[name]) for name in MODELS if row.get(name)}
    named = {name: clips.numbers(row.get(name) or ()) for name in ("context", "rejected_clips")}
    return {name: value for name, value in (kept | named).items() if value not in (None, "", [])}


def triplet_index(rows: Sequence[Mapping[str, Any]], pictured: Sequence[bool]) -> dict[str, Any]:
    """Columns that the list, its filters and its orders need."""
    return {
        "id": [row["id"] for row in rows],
        "text": [row["prompt"] for row in rows],
        "facets": {
            "stage": facet(f"stage {row['stage']}" for row in rows),
            "rejected": facet(row.get("rejection") or "not said" for row in rows),
            "source": facet(_source(row) for row in rows),
            "task": facet(row.get("task") or "" for row in rows),
            "pictures": facet("with pictures" if one else "without" for one in pictured),
        },
        "clips": [len(row["context"]) for row in rows],
        "anchor": [(row.get("anchors") or [-1])[0] + 1 for row in rows],
        "seconds": [
            round(sum((clip["end"] or 0) - (clip["start"] or 0) for clip in row["context"]), 1) for row in rows
        ],
        "words": [[len(row[name].split()) for name in ("chosen", "rejected")] for row in rows],
    }


def dropped_index(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "id": [row["id"] for row in rows],
        "text": [row["prompt"] or row["id"] for row in rows],
        "facets": {
            "stage": facet(_stage(row["id"]) for row in rows),
            "filter": facet(row["filter"].replace("_", " ") for row in rows),
        },
        "score": [row["score"] for row in rows],
    }


def dropped_item(row: Mapping[str, Any], clips: Clips) -> dict[str, Any]:
    kept = {name: row.get(name) for name in ("filter", "reason", "score", "chosen", "rejected", "anchors")}
    named = {"context": clips.numbers(row.get("context") or ())}
    return {name: value for name, value in (kept | named).items() if value not in (None, "", [])}


def _stage(name: str) -> str:
    return next((f"stage {config[-1]}" for config in CONFIGS if name.startswith(config)), "before any stage")


def _source(row: Mapping[str, Any]) -> str:
    """The source of the clip that holds the answer."""
    places = row.get("anchors") or range(len(row["context"]))
    return next((row["context"][place]["source"] for place in places if place < len(row["context"])), "")
