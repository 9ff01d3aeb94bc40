"""The straight line: a dataset or results in, a folder with one static page out."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longvpo.clips.published import frames_of_dataset, recipe_of, sampling_in
from longvpo.errors import LongVPOError, did_you_mean, first_line, say
from longvpo.io.files import CARD, as_json, as_yaml, file_hash, write_text
from longvpo.io.output import claimed, finished, place_of, whole_folder
from longvpo.io.private import cut
from longvpo.io.records import understood
from longvpo.io.reopened import ASKED, LACKS, reopened, states_of
from longvpo.release.spot_check import rows_hash
from longvpo.viewer.answers import answer_index, read_answers, result_tables
from longvpo.viewer.parts import write_part, write_table
from longvpo.viewer.sprites import FOLDER, Strip, strips
from longvpo.viewer.subject import Subject, find_subject
from longvpo.viewer.triplets import Clips, dropped_index, dropped_item, read_tables, triplet_index, triplet_item

PAGE = Path(__file__).parent / "page"  # its HTML, CSS and JavaScript
DONE = "view.json"
PICTURED = 200  # rows of each stage that get pictures, unless more are asked for


def view(dataset: str, output: Path, videos: Mapping[str, Path] | None = None, rows: int = PICTURED) -> dict[str, Any]:
    """Write the page. The same call again does nothing, or resumes after a kill.

    Args:
        dataset: a folder, or a Hub id as ID or ID@REVISION, with triplets or with results of `longvpo evaluate`.
        videos: folder of each source's videos; for other sources, the frames in the dataset are shown.
        rows: how many rows of each stage get pictures, the first ones.

    Returns:
        page: the path of its first file; what it counts; and the key of all that decides it.

    Raises:
        LongVPOError: it holds nothing to look at, or the output cannot be written.
    """
    subject = find_subject(dataset)
    try:
        return (
            _results(subject, output) if subject.kind == "results" else _dataset(subject, output, videos or {}, rows)
        )
    except (LongVPOError, OSError):
        raise
    except Exception as error:  # errors of datasets, huggingface_hub and its HTTP client have no common base
        raise LongVPOError(f"cannot show {dataset}: {first_line(error)}") from error


def _dataset(subject: Subject, output: Path, videos: Mapping[str, Path], most: int) -> dict[str, Any]:
    triplets, dropped, clips = read_tables(subject)
    marked = rows_hash(triplets)
    _check_sources(videos, {clip["source"] for row in triplets for clip in row["context"]})
    asked = _key(subject, marked, [row["id"] for row in dropped], most)
    named = ((clip["source"], clip["video"]) for row in triplets for clip in row["context"])
    key = _key(subject, asked, sorted(videos), states_of(named, videos))
    place = place_of(output)
    again = reopened(place, DONE, key, asked, marked[:12])
    done = None if again else finished(place, DONE, key)
    if done is not None:
        return done | {"page": str(output / "index.html")}
    with claimed(place, key, marked[:12]) as work:
        items = [triplet_item(row, clips) for row in triplets]
        refused = [dropped_item(row, clips) for row in dropped]
        found, lacking = _pictures(subject, work / FOLDER, triplets, items, clips, videos, most)
        pictured = [bool(item.get("context")) and all(n in found for n in item["context"]) for item in items]
        counts = {"triplets": len(items), "dropped": len(refused), "pictured": sum(pictured), "clips": len(found)}
        with whole_folder(place) as page:
            tables = {"triplets": write_table(page, "triplets", triplet_index(triplets, pictured), items)}
            if refused:
                tables["dropped"] = write_table(page, "dropped", dropped_index(dropped), refused)
            told = [
                clip | {"video": cut(clip["video"])} | ({"strip": found[n]} if n in found else {})
                for n, clip in enumerate(clips.all)
            ]
            tables["clips"] = write_table(page, "clips", {}, told)
            facts = {name: value for name, value in subject.about.items() if name not in ("prompts", "calls")}
            if facts.get("stage1") or facts.get("stage2"):
                write_part(page, "numbers", facts)
            if (work / FOLDER).is_dir():
                (work / FOLDER).replace(page / FOLDER)
            told_of = {"tables": tables, "rows": marked, "numbers": bool(facts)}
            _finish(page, subject, {"key": key, ASKED: asked, LACKS: lacking}, counts, told_of)
    return {"key": key, **counts, "page": str(output / "index.html")}


def _results(subject: Subject, output: Path) -> dict[str, Any]:
    answers, quoted = read_answers(subject)
    with understood(subject.file("results.json") or Path("results.json")):
        shown = result_tables(subject.about) | {"quoted": quoted}
    key = _key(subject, answers)
    place = place_of(output)
    done = finished(place, DONE, key)
    if done is not None:
        return done | {"page": str(output / "index.html")}
    counts = {"tables": len(shown["tables"]), "answers": len(answers)}
    with claimed(place, key), whole_folder(place) as page:
        tables = {"answers": write_table(page, "answers", answer_index(answers), answers)} if answers else {}
        write_part(page, "results", shown)
        _finish(page, subject, {"key": key}, counts, {"tables": tables, "results": True})
    return {"key": key, **counts, "page": str(output / "index.html")}


def _finish(page: Path, subject: Subject, done: dict[str, Any], counts: dict[str, int], about: dict[str, Any]) -> None:
    shutil.copytree(PAGE, page, dirs_exist_ok=True)
    sources = subject.about.get("sources") or [] if subject.kind == "dataset" else []
    closed = [source["name"] for source in sources if not source["redistribution"]] if counts.get("clips") else []
    if closed:
        say(
            f"warning: nobody said that frames of source {closed[0]} may be published: keep this page to yourself, or "
            "make it with --rows 0"
        )
    write_part(page, "about", about | {"name": subject.name, "kind": subject.kind, "counts": counts, "closed": closed})
    front = {"title": f"{subject.name}, looked at"[:80], "sdk": "static", "app_file": "index.html", "pinned": False}
    text = "One static page, made by `longvpo view`: open `index.html`, or push this folder as a static Space."
    write_text(page / CARD, f"---\n{as_yaml(front)}---\n\n{text}\n")
    write_text(page / DONE, as_json(done | counts))


def _pictures(
    subject: Subject,
    folder: Path,
    rows: list[dict[str, Any]],
    items: list[dict[str, Any]],
    clips: Clips,
    videos: Mapping[str, Path],
    most: int,
) -> tuple[dict[int, Strip], int]:
    """The strips of the clips of the first rows of each stage, by the clip's number; and how many clips have none."""
    first = [place for stage in (1, 2) for place in [n for n, row in enumerate(rows) if row["stage"] == stage][:most]]
    wanted = list(
        dict.fromkeys(
            n for place in first for part in ("context", "rejected_clips") for n in items[place].get(part, ())
        )
    )
    if not wanted:
        return {}, 0
    section = sampling_in(recipe_of(subject.place, subject.revision)).model_copy(update={"frames": None})
    configs = sorted({f"stage{row['stage']}" for row in rows})
    frames_of = frames_of_dataset(subject.place, subject.revision, configs, section, videos)
    readable = [n for n in wanted if frames_of.can_read(clips.all[n])]
    missing = sorted({clips.all[n]["source"] for n in wanted} - {clips.all[n]["source"] for n in readable})
    if missing:
        say(
            f"no pictures of source {', '.join(missing)}: the dataset has no frames of it; give the folder of its "
            f"videos, --videos {missing[0]}=FOLDER"
        )
    made = strips(folder, [clips.all[n] for n in readable], frames_of) if readable else {}
    return {readable[place]: strip for place, strip in made.items()}, len(wanted) - len(made)


def _check_sources(videos: Mapping[str, Path], known: set[str]) -> None:
    for name, folder in videos.items():
        if name not in known:
            raise LongVPOError(
                f"--videos {name}: no clip is of a source of that name{did_you_mean(name, known)}; the sources are "
                f"{', '.join(sorted(known))}"
            )
        if not folder.is_dir():
            raise LongVPOError(f"--videos {name}: there is no folder {folder}")


def _key(subject: Subject, *parts: Any) -> str:
    """Changes with everything that decides the page, and with the page's own files."""
    files = [file_hash(path) for path in sorted(PAGE.iterdir())]
    text = json.dumps([files, subject.about, *parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
