"""A first recipe for a folder of one's own: what the folder holds decides what it makes.

The rule: the folder is only read, and the recipe runs without a change. What only the owner of the videos knows, such
as a licence, is left for the owner to write.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

from longvpo.clips.readers import FILMS, READERS
from longvpo.clips.tables import find_table, read_table
from longvpo.errors import LongVPOError, first_line, say
from longvpo.io.yaml_text import parse
from longvpo.recipe.builtin import builtin_recipes
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sources import ColumnSection, SourceSection

# names that other tables use for these columns, the most likely first
VIDEOS = ("file_name", "video", "video_path", "path", "file", "filename")
CAPTIONS = ("caption", "text", "description")
ASKED = ("caption", "question", "answer")  # columns that an evaluation needs; a build, without a writer, the first
EDIT = "# <-- "


class Found(NamedTuple):
    """What a folder's table holds."""

    table: str
    rows: int
    columns: ColumnSection
    lacks: list[str]  # columns that an evaluation needs, beside the videos


def own_recipe(folder: str, base: str, file: str) -> tuple[str, str]:
    """The text of a recipe for a folder, and the command that takes it.

    Args:
        folder: as the user writes it.
        base: a family of built-in recipes, such as qwen2.5-vl-7b, or one of its recipes.
        file: where the recipe will lie.

    Raises:
        LongVPOError: the folder has no videos, no table, or not the columns that the recipe needs; what to write is
            said. Or there is no such family.
    """
    family = base.split("/")[0]
    asked = [name for name in (f"{family}/dataset", f"{family}/evaluate") if name in builtin_recipes()]
    if len(asked) < 2 or (base != family and base not in asked):
        families = sorted({name.split("/")[0] for name in builtin_recipes() if name.endswith("/evaluate")})
        raise LongVPOError(f"--from {base}: give a family out of {', '.join(families)}, or its dataset or evaluate")
    found = look(Path(folder))
    if found.columns != ColumnSection():
        named = ", ".join(f"{key}={name}" for key, name in found.columns if name != getattr(ColumnSection(), key))
        say(f"note: columns of {found.table}: {named}")
    measures = base.endswith("/evaluate") or (base == family and not found.lacks)
    if measures and found.lacks:
        raise LongVPOError(
            f"an evaluation needs the columns {', '.join(ASKED[:-1])} and {ASKED[-1]}, and {found.table} has no "
            f"{' and no '.join(found.lacks)}: add that. A caption says what is seen; distractors are chosen by it"
        )
    if found.lacks == ["caption"]:
        say(
            f"note: {found.table} has questions and no captions, so this recipe builds triplets, and the writer "
            f"describes the clips. To evaluate, add a column caption, and give --from {family}/evaluate"
        )
    elif "caption" in found.lacks:
        say(f"note: {found.table} has no captions, so the writer describes each clip first")
    elif not found.lacks and not measures:
        say(f"note: {found.table} has questions: --from {family}/evaluate makes a recipe to evaluate on them")
    name = re.sub(r"[^a-z0-9]+", "-", Path(folder).resolve().name.lower()).strip("-") or "mine"
    kind, command = ("evaluate", "evaluate") if measures else ("dataset", "build-dataset")
    body = (_evaluation if measures else _dataset)(folder, name, family, found)
    what = "Questions about your own clips, to a base and its adapters" if measures else "Triplets from your own clips"
    lines = [
        f"# {what}: four lines to edit, marked <--. {found.table} has {found.rows} rows.",
        f"# Run:      longvpo {command} {shlex.quote(file)} --dry-run",
        f"# The rest: longvpo recipes {family}/{kind} --resolved",
        f"#           longvpo recipes --keys {kind}",
        f"extends: {family}/{kind}",
        *body,
    ]
    return "\n".join(lines) + "\n", command


def look(folder: Path) -> Found:
    """What a folder holds. Raises LongVPOError where it is not a folder, or its table is missing or cannot be read."""
    if not folder.is_dir():
        raise LongVPOError(f"{folder} is not a folder: give the folder that holds your videos")
    source = SourceSection(name="yours", folder=folder)
    if not any(path.name.lower() in READERS for path in folder.iterdir()):
        films = sorted(path for path in folder.rglob("*") if path.suffix.lower() in FILMS and path.is_file())
        if not films:
            raise LongVPOError(f"{folder} holds no video and no table: give the folder that holds your videos")
        line = json.dumps({"file_name": str(films[0].relative_to(folder)), "caption": "..."}, ensure_ascii=False)
        raise LongVPOError(
            f"{folder} has {len(films)} video files and no table: write {folder / 'metadata.jsonl'} with a line for "
            f"each, such as {line}. Without captions, leave `caption` out, and the writer describes the clips first"
        )
    path = find_table(source)
    try:
        names = READERS[path.name.lower()](path, (VIDEOS[0],), ()).names
    except (ValueError, OSError) as error:
        raise LongVPOError(f"cannot read {path}: {first_line(error)}") from error
    video = next((name for name in VIDEOS if name in names), VIDEOS[0])
    caption = next((name for name in CAPTIONS if name in names), "")
    columns = ColumnSection(video=video, caption=caption or CAPTIONS[0])
    told = source.model_copy(update={"columns": columns, "captions": "table" if caption else "writer"})
    rows = read_table(told, ())
    lacks = [name for name in ASKED if name not in names and not (name == ASKED[0] and caption)]
    return Found(path.name, len(rows), columns, lacks)


def _source(folder: str, found: Found) -> list[str]:
    """The lines of a source's section, from its folder on."""
    said = {key: name for key, name in found.columns if name != getattr(ColumnSection(), key)}
    columns = ", ".join(f"{key}: {_text(name)}" for key, name in said.items())
    return [
        f"folder: {_text(folder)}  {EDIT}as seen from where longvpo is started, or from /",
        f"license: unknown  {EDIT}an id of the Hub's list, such as cc-by-4.0; needed before anything is published",
        "redistribution: false  # true: the licence lets others publish the videos",
        *([f"columns: {{{columns}}}"] if columns else []),
    ]


def _dataset(folder: str, name: str, family: str, found: Found) -> list[str]:
    recipe = load_recipe(DatasetRecipe, f"{family}/dataset")
    captions = "table" if "caption" not in found.lacks else "writer  # the writer describes each clip first"
    lines = [
        f"name: {name}-data  {EDIT}of the result's folder, and of its repository on the Hub",
        "sources:",
        "  - name: clips",
        *(f"    {line}" for line in [*_source(folder, found), f"captions: {captions}"]),
        "writer:",
        f"  model: {_text(recipe.writer.model)}  {EDIT}a Hub id, or a folder",
        f"stage1: {{triplets: {min(10_000, 3 * found.rows)}}}",
    ]
    kept = [number for number in recipe.context.clips or () if number <= found.rows]
    if recipe.context.clips and len(kept) < len(recipe.context.clips):
        lines.append(f"context: {{clips: {kept or [2]}}}  # clips of a context, which must be there")
    return [*lines, "stage2: null  # your own long videos: see --keys dataset.stage2"]


def _evaluation(folder: str, name: str, family: str, found: Found) -> list[str]:
    recipe = load_recipe(EvaluateRecipe, f"{family}/evaluate")
    clips = [number for number in recipe.grid.clips if number <= found.rows]
    return [
        f"name: {name}-results  {EDIT}of the result's folder",
        "base:",
        f"  model: {_text(recipe.base.model)}  {EDIT}a Hub id, or a folder",
        "source:",
        "  name: clips",
        *(f"  {line}" for line in _source(folder, found)),
        *([f"grid: {{clips: {clips or [1]}}}"] if len(clips) < len(recipe.grid.clips) else []),
        "multi: null  # questions about several scenes of long videos: see --keys evaluate.multi",
    ]


def _text(value: str) -> str:
    """A text in YAML: quoted where it would be read as something else."""
    plain = re.fullmatch(r"[\w~/][\w./~ -]*", value) is not None and parse(value) == value
    return value if plain and value == value.strip() else json.dumps(value, ensure_ascii=False)
