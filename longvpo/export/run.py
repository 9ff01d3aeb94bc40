"""Triplets to a folder that another tool trains on.

    longvpo export DATASET --to ms-swift --videos clips=my-clips --output FOLDER

No tool can cut a clip by its start and end: so a context is one joined video, or a list of its frames.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset
from tqdm import tqdm

from longvpo.clips.conversations import TAG
from longvpo.clips.listed import frames_of_pairs
from longvpo.clips.pairs import settle
from longvpo.clips.published import NAMES, beside, frames_of_dataset, sampling_of
from longvpo.clips.triplets import load_config, teaching
from longvpo.errors import LongVPOError, VideoError, say
from longvpo.export.forms import TABLES, Form, dataset_info, parquet_columns, row_in_form
from longvpo.export.media import FRAMES, VIDEOS, Film, Media
from longvpo.export.page import page
from longvpo.io.disk import writing
from longvpo.io.files import CARD, as_json, text_hash, whole_file, write_text
from longvpo.io.output import FINAL, Place, claimed, finished, place_of, whole_folder
from longvpo.io.private import cut
from longvpo.io.records import read_record
from longvpo.io.reopened import ASKED, LACKS, reopened, states_of
from longvpo.recipe.sections import JPEG_QUALITY, VideoSection
from longvpo.release.licenses import UNKNOWN
from longvpo.video.frames import ClipFrames

FACTS = "export.json"
MORE = ("id", "task")  # columns of longvpo that a form may use
KEYS = {"set data.videos.": "give --videos ", "Set data.videos.": "Give --videos ", "set video.fps=": "give --fps "}
TAGGED = "a text holds <video>, <image> or <audio>, which these tools take for a video's place"
UNREADABLE = "a video of it cannot be read"


class Found(NamedTuple):
    """Rows, the name of their config, their frames, and how many rows are left out, by reason."""

    rows: Dataset
    config: str
    frames_of: ClipFrames
    left_out: Counter[str]


def export(
    dataset: str,
    form: Form,
    output: Path,
    config: str = "stage1",
    revision: str = "main",
    videos: Mapping[str, Path] | None = None,
    pictures: bool = False,
    lossless: bool = False,
    fps: float | None = None,
) -> dict[str, Any]:
    """Write the triplets of a config into the folder `output`, in a tool's form. The same call again resumes.

    Args:
        dataset: a folder or a Hub id of longvpo's triplets, or preference pairs from another tool.
        videos: folder of the videos of each source.
        pictures: lists of frames in place of mp4 files; TRL always gets them.
        lossless: these are PNG, not JPEG.
        fps: frames per second; None: as in the dataset's recipe.

    Returns:
        The facts: rows, left_out by reason, media, and what they come from.

    Raises:
        LongVPOError: the dataset cannot be loaded, no row of it can be exported, or the output cannot be written.
    """
    try:
        rows = _read(dataset, config, revision, videos or {}, fps)
        return _export(dataset, revision, form, output, rows, pictures or form == "trl", lossless)
    except LongVPOError as error:  # it may name the keys of a training
        said = str(error)
        for there, here in KEYS.items():
            said = said.replace(there, here)
        raise LongVPOError(said) from error


def _export(
    dataset: str, revision: str, form: Form, output: Path, found: Found, pictures: bool, lossless: bool
) -> dict[str, Any]:
    rows, config, frames_of, left_out = found
    place = place_of(output)
    about = [form, pictures, lossless, frames_of.section.model_dump(mode="json"), config]
    asked = text_hash(json.dumps([about, cut(dataset), revision]))[:32]
    named = {(clip["source"], clip["video"]) for context in rows["context"][:] for clip in context}
    states = states_of(named, frames_of.folders)
    key = text_hash(json.dumps([about, rows.to_list(), states]))[:32]
    again = reopened(place, FACTS, key, asked)
    done = None if again else finished(place, FACTS, key)
    if done:
        return done
    quality = None if lossless else JPEG_QUALITY
    with claimed(place, key), writing(output):
        media = Media(place.work, frames_of, pictures, quality, {(one, two): state for one, two, state in states})
        if again:
            _take_over(place)
        else:
            _recover(place)
        _say_resumed(place.work)
        films = _write_media(media, rows, left_out)
        kind = FRAMES if pictures else VIDEOS
        name = _name(dataset)
        with whole_folder(place) as folder:
            kept = [
                row_in_form(form, row, film, number, config, pictures)
                for number, (row, film) in enumerate(_with_films(rows, films))
            ]
            if form == "verl-grpo":
                Dataset.from_list(kept, features=parquet_columns(pictures)).to_parquet(folder / TABLES[form])
            else:
                _write_lines(folder / TABLES[form], kept)
            files = _files_of(films, place.work / kind)
            facts = {
                "key": key,
                ASKED: asked,
                LACKS: sum(count for reason, count in left_out.items() if "video" in reason and reason != TAGGED),
                "kind": "export",
                "to": form,
                "dataset": cut(dataset),
                "config": config,
                "rows": len(kept),
                "left_out": dict(left_out),
                "media": {"kind": kind, "files": len(files), "bytes": sum(path.stat().st_size for path in files)},
                "fps": frames_of.section.fps,
            }
            if form == "llama-factory":
                write_text(folder / "dataset_info.json", as_json(dataset_info(name)))
            write_text(folder / CARD, page(form, name, facts, _sources(dataset, revision, rows)))
            write_text(folder / FACTS, as_json(facts))
            (place.work / kind).rename(folder / kind)
    for reason, count in left_out.items():
        say(f"warning: {count} rows are left out: {reason}")
    return facts


def _read(dataset: str, config: str, revision: str, videos: Mapping[str, Path], fps: float | None) -> Found:
    """The rows that can be told in a form."""
    left_out: Counter[str] = Counter()
    found = settle(dataset, config, "train", revision, None, videos)
    own = None if found else sampling_of(dataset, revision)
    section = (own or VideoSection()).model_copy(update={"frames": None} | ({"fps": fps} if fps else {}))
    if found:
        config = found.config
        others = (found.columns, found.folders, left_out)
        rows = load_config(dataset, config, "train", revision, (), *others)
        frames_of = frames_of_pairs(dataset, section, found.folders, found.columns.list_fps)
    else:
        rows = load_config(dataset, config, "train", revision, MORE)
        frames_of = frames_of_dataset(dataset, revision, [config], section, videos)
    rows, untaught = teaching(rows)
    left_out.update(untaught)
    texts = zip(*(rows[name][:] for name in ("prompt", "chosen", "rejected")), strict=True)
    tagged = {place for place, said in enumerate(texts) if any(TAG.search(text) for text in said)}
    if tagged:
        left_out[TAGGED] = len(tagged)
        rows = rows.select([place for place in range(len(rows)) if place not in tagged])
    if not len(rows):
        raise LongVPOError(f"no row of {dataset}, config {config}, can be exported: {_told(left_out)}")
    return Found(rows, config, frames_of, left_out)


def _told(left_out: Counter[str]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in left_out.items())


def _write_media(media: Media, rows: Dataset, left_out: Counter[str]) -> dict[tuple[Any, ...], Film]:
    """The film of each distinct context, all whose videos can be read. Raises LongVPOError where none is."""
    contexts = {_named(context): context for context in rows["context"][:]}
    films: dict[tuple[Any, ...], Film] = {}
    faults: dict[tuple[Any, ...], str] = {}

    def one(item: tuple[tuple[Any, ...], list[dict[str, Any]]]) -> None:
        try:
            films[item[0]] = media.write(item[1])
        except VideoError as error:
            faults[item[0]] = str(error)

    with ThreadPoolExecutor(media.frames_of.section.workers) as pool:
        for _ in tqdm(pool.map(one, contexts.items()), "videos", len(contexts), disable=None):
            pass
    if faults:
        count = sum(_named(context) in faults for context in rows["context"][:])
        if not films:
            raise LongVPOError(
                f"no video can be read, the first: {next(iter(faults.values()))}; give --videos SOURCE=FOLDER, the "
                "folder that the paths of the rows begin in"
            )
        left_out[UNREADABLE] = count
        say(f"warning: {next(iter(faults.values()))}")
    return films


def _with_films(rows: Dataset, films: Mapping[tuple[Any, ...], Film]) -> Iterator[tuple[dict[str, Any], Film]]:
    for row in rows.to_list():
        film = films.get(_named(row["context"]))
        if film is not None:
            yield row, film


def _named(context: list[dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(tuple(clip[name] for name in NAMES) for clip in context)


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    with whole_file(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


def _recover(place: Place) -> None:
    """Back into the work: media that a kill at the very end left where the result was being put."""
    for kind in (FRAMES, VIDEOS):
        for left in (place.work / FINAL / kind, *([place.path / kind] if place.inside else [])):
            if left.is_dir() and not (place.work / kind).exists():
                left.rename(place.work / kind)


def _take_over(place: Place) -> None:
    """Into the work: the media of the result that is made again. The key of each says whether it still holds."""
    for kind in (FRAMES, VIDEOS):
        if (place.path / kind).is_dir() and not (place.work / kind).exists():
            with suppress(OSError, shutil.Error):  # a file system without links: they are written again
                shutil.copytree(place.path / kind, place.work / kind, copy_function=os.link)


def _say_resumed(work: Path) -> None:
    there = sum(path.is_file() for kind in (FRAMES, VIDEOS) for path in (work / kind).rglob("*.*"))
    if there:
        say(f"resumed: {there} files of videos or frames are there")


def _files_of(films: Mapping[tuple[Any, ...], Film], folder: Path) -> list[Path]:
    """The files of these films; others in the folder, of videos as they were before, go."""
    wanted = {folder.parent / name for film in films.values() for name in film.paths}
    for path in folder.rglob("*.*"):
        if path.is_file() and path not in wanted:
            path.unlink()
    return sorted(wanted)


def _sources(dataset: str, revision: str, rows: Dataset) -> list[dict[str, Any]]:
    """Name and licence of the sources that rows show."""
    try:
        known = {
            one["name"]: one["license"] for one in read_record(beside(dataset, revision, "facts.json"))["sources"]
        }
    except Exception:  # errors of huggingface_hub and its HTTP client have no common base; it is not longvpo's
        known = {}
    names = sorted({clip["source"] for context in rows["context"][:] for clip in context})
    return [{"name": name, "license": known.get(name, UNKNOWN)} for name in names]


def _name(dataset: str) -> str:
    """A name for the export in a list of datasets."""
    name = Path(cut(dataset)).stem
    return "".join(one if one.isalnum() or one in "-_" else "_" for one in name) or "longvpo"
