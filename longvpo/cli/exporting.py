"""The command that writes triplets for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longvpo.cli import options
from longvpo.cli.printing import print_values
from longvpo.errors import LongVPOError, say
from longvpo.io.home import at_home, path
from longvpo.io.output import place_of
from longvpo.io.reopened import INNER

TOOLS = "trl, ms-swift, llama-factory or verl-grpo"


def export(
    dataset: Annotated[
        str,
        typer.Argument(
            parser=at_home, metavar="DATASET", help="A folder, a Hub id, or preference pairs of another tool."
        ),
    ],
    to: Annotated[str, typer.Option(metavar="TOOL", help=f"The format: {TOOLS}.", show_default=False)],
    config: Annotated[str, typer.Option(metavar="CONFIG", help="Which triplets: stage1 or stage2.")] = "stage1",
    revision: Annotated[str, typer.Option(metavar="REVISION", help="Branch, tag or commit of a Hub id.")] = "main",
    videos: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER", help="Folder with the videos of a source; repeatable.", show_default=False
        ),
    ] = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="Write lists of frames, not mp4 files; trl always gets frames.")
    ] = False,
    lossless: Annotated[bool, typer.Option("--lossless", help="Write frames as PNG, not as JPEG.")] = False,
    fps: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="NUMBER", help="Frames per second.", show_default="the dataset's"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(parser=path, metavar="FOLDER", help="Folder for the result.", show_default="DATASET-TOOL"),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write triplets in the format of another training tool.

    Each context becomes one video. The same command again resumes.

    Example: longvpo export my-triplets --to ms-swift --videos clips=my-clips
    """
    from longvpo.cli.following import kept_in, resumable
    from longvpo.export.forms import FORMS
    from longvpo.export.run import export as run

    form = next((one for one in FORMS if one == to), None)
    if form is None:
        raise LongVPOError(f"--to {to}: give one of {TOOLS}")
    if lossless and not (frames or form == "trl"):
        raise LongVPOError("--lossless is for frames: give --frames, too")
    folders = options.named_folders(videos, "write it as NAME=FOLDER")
    stem = dataset.rstrip("/").rpartition("/")[2]
    folder = output or Path(f"{Path(stem).stem if Path(dataset).is_file() else stem}-{form}")
    kind = "frames" if frames or form == "trl" else "videos"
    with resumable(lambda: kept_in(place_of(folder).work / kind, kind)):
        facts = run(dataset, form, folder, config, revision, folders, frames, lossless, fps)
    print_values({name: value for name, value in facts.items() if name not in INNER}, as_json)
    say(f"rows:    {folder}\nread:    {folder / 'README.md'}   (how {form} trains on them)")
