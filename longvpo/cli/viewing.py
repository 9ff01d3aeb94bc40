"""The command that shows what there is to look at."""

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
        str, typer.Argument(help="A dataset, or what evaluate found: a folder, or an id on the Hub as ID[@REVISION].")
    ],
    output: Annotated[
        Path | None, typer.Option(parser=path, help="Folder for the page.", show_default="DATASET-view")
    ] = None,
    videos: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=FOLDER", help="The folder of a source's videos, for pictures; repeatable."),
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="How many rows of each stage get pictures.")] = 200,
    as_json: options.AsJson = False,
) -> None:
    """Make a page on which a person looks at triplets, dropped rows or answers: static, and it asks no network."""
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
    """Where the page goes unless the user says: beside a folder, and for a repository into this folder."""
    folder = Path(place)
    if not folder.is_dir():
        return Path(f"{place.rpartition('/')[2]}-view")
    return options.beside(folder, "view")
