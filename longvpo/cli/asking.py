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
        typer.Argument(metavar="KEY=VALUE", help="Values of base and video, such as video.fps=2."),
    ] = None,
    adapter: options.Adapters = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="A Hub id, a folder or tiny.", show_default="the adapter's, or the recipe's"
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="RECIPE",
            help="A recipe of a training or an evaluation; its base and its frames are used.",
            show_default="the adapter's own",
        ),
    ] = "",
    start: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Where to start.", show_default=False)
    ] = None,
    end: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Where to end.", show_default=False)
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, metavar="NUMBER", help="Maximum tokens per answer.")] = 256,
    as_json: options.AsJson = False,
) -> None:
    """Ask a base model and its adapters about one video.

    The model sees the frames and the prompt as in training. Answers are printed while they are written.

    Example: longvpo ask clip.mp4 "What color is the ring?" --adapter my-stage1
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
        say(f"note: the answer of {name} was truncated at {max_new_tokens} tokens: raise --max-new-tokens")
