"""The command that makes a page of triplets or results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longvpo.cli import options
from longvpo.cli.printing import print_values
from longvpo.errors import say
from longvpo.io.home import path, split
from longvpo.io.output import place_of
from longvpo.io.reopened import INNER


def view(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="A dataset, or the results of evaluate: a folder, or a Hub id as ID[@REVISION]."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(parser=path, metavar="FOLDER", help="Folder for the page.", show_default="DATASET-view"),
    ] = None,
    videos: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=FOLDER", help="Folder with the videos of a source, for the pictures; repeatable."
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=0, metavar="NUMBER", help="Rows per stage that get pictures.")] = 200,
    as_json: options.AsJson = False,
) -> None:
    """Make a page that shows triplets, dropped rows or answers.

    The page is a folder of files that a browser opens from disk, without a network.

    Example: longvpo view my-triplets --videos clips=my-clips
    """
    from longvpo.cli.following import kept_in, resumable

    folders = options.named_folders(videos, "give it as SOURCE=FOLDER, such as --videos clips=my-clips")
    place, _ = split(dataset)
    folder = output or beside(place)
    with resumable(lambda: kept_in(place_of(folder).work / "frames", "pictures")):
        from longvpo.viewer.run import view as run

        made = run(dataset, folder, folders, rows)
    print_values({name: value for name, value in made.items() if name not in INNER}, as_json)
    say(f"open:    {folder / 'index.html'}")


def beside(place: str) -> Path:
    """The default folder of a page: next to a local dataset, or in this folder for a dataset of the Hub."""
    folder = Path(place)
    if not folder.is_dir():
        return Path(f"{place.rpartition('/')[2]}-view")
    return options.beside(folder, "view")
