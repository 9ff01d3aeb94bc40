"""The command that asks about one video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from longvpo.cli import options
from longvpo.errors import say, visible
from longvpo.io.home import path


def ask(
    video: Annotated[Path, typer.Argument(parser=path, metavar="VIDEO", help="A video file.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask, in quotes.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Values of base and video, such as video.fps=2."),
    ] = None,
    adapter: options.Adapters = None,
    base: Annotated[
        str | None,
        typer.Option(help="A Hub id, a folder or tiny.", show_default="the adapter's, or the recipe's"),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="One of a training or an evaluation, for its base and frames.", show_default="the adapter's own"
        ),
    ] = "",
    start: Annotated[float | None, typer.Option(min=0, help="Second at which to begin.", show_default=False)] = None,
    end: Annotated[float | None, typer.Option(min=0, help="Second at which to end.", show_default=False)] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of an answer.")] = 256,
    as_json: options.AsJson = False,
) -> None:
    """Ask a base, and its adapters beside it, about one video, with the frames and the prompt of training.

    Answers are printed as they are written.
    """
    from longvpo.evaluation.one_video import ask as run

    speaking = ""

    def hear(name: str, piece: str) -> None:
        nonlocal speaking
        if name != speaking:
            print(visible(f"\n{name}: " if speaking else f"{name}: "), end="")
            speaking = name
        print(visible(piece), end="", flush=True)

    given = (adapter or (), base, recipe, overrides or (), start, end, max_new_tokens)
    told = run(video, question, *given, None if as_json else hear)
    if as_json:
        return print(json.dumps(told))
    print()
    for name in told["cut"]:
        say(f"note: the answer of {name} was cut at {max_new_tokens} tokens: --max-new-tokens takes more")
