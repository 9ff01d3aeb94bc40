"""Commands that make a result ready for others: merge, push and card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from longvpo.cli import options
from longvpo.cli.printing import print_values, say_next, say_where
from longvpo.errors import say
from longvpo.io.home import path


def merge(
    adapter: Annotated[Path, typer.Argument(parser=path, metavar="ADAPTER", help="A folder that train made.")],
    output: Annotated[
        Path | None,
        typer.Option(parser=path, metavar="FOLDER", help="Folder for the model.", show_default="ADAPTER-merged"),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Merge an adapter into its base and write the whole model.

    Transformers loads the result without PEFT.

    Example: longvpo merge my-stage2 --output my-model
    """
    from longvpo.training.merge import merge as run

    folder = output or options.beside(adapter, "merged")
    print_values(run(adapter, folder), as_json, keys=("name",))
    say(f"model:   {folder}")
    say_next("push", str(folder))


def push(
    folder: options.Result,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            parser=path, metavar="PATH", help="Results of an adapter, from evaluate or lmms-eval; repeatable."
        ),
    ] = None,
    repo_id: options.RepoId = None,
    tag: options.Tag = options.FIRST_TAG,
    private: options.Private = None,
    collection: options.Collection = None,
    license: options.License = None,
    overwrite_card: options.OverwriteCard = False,
    as_json: options.AsJson = False,
) -> None:
    """Publish a dataset, an adapter or a merged model on the Hub.

    The same command again resumes a release that was interrupted.

    Example: longvpo push my-stage1 --results my-results --tag v0.1.0
    """
    from longvpo.cli.following import SENT, resumable

    with resumable(lambda: SENT):
        from longvpo.release.push import push_folder

        published = push_folder(folder, repo_id, tag, private, collection, results or (), license, overwrite_card)
    print_values(published, as_json)
    say_where({"published": published})


def card(
    folder: options.Result,
    changes: options.Changes = None,
    overwrite_card: options.OverwriteCard = False,
) -> None:
    """Write the card of a dataset or an adapter again.

    It is made from the files in the folder, and from the values that you give.

    Example: longvpo card my-triplets license=cc-by-4.0
    """
    from longvpo.release.card_file import check_own_card, write_card
    from longvpo.release.corrected import correct

    if not overwrite_card:
        check_own_card(folder)
    if changes:
        correct(folder, changes)
    print(write_card(folder))
