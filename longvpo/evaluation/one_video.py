"""One video and one question: the answers of a base model and of its adapters.

The rule: a model is asked as it was trained. An adapter's folder says with which base and which frames.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError, say
from longvpo.evaluation.adapters import by_name, find_adapters
from longvpo.evaluation.benchmark_recipe import BenchmarkRecipe, read_as_trained
from longvpo.evaluation.messages import Documents
from longvpo.io.home import path
from longvpo.models.local import LocalWriter
from longvpo.models.revision import model_name
from longvpo.models.stream import answer_aloud
from longvpo.models.writer import Answer, Request
from longvpo.recipe.sections import WriterSection
from longvpo.video.extent import extent
from longvpo.video.probe import SLACK

NEW_TOKENS = 256
FEW = 8  # frames whose times are said one by one

Hear = Callable[[str, str], None]  # takes a model's name and the next piece of its answer


def ask(
    video: str | Path,
    question: str,
    adapters: Sequence[str | Path] = (),
    base: str | None = None,
    recipe: str = "",
    overrides: Sequence[str] = (),
    start: float | None = None,
    end: float | None = None,
    max_new_tokens: int = NEW_TOKENS,
    hear: Hear | None = None,
) -> dict[str, Any]:
    """Ask a base model and its adapters about a video. All see the same frames and answer greedily.

    Args:
        video: a file.
        adapters: folders, or repositories on the Hub as `ID` or `ID@REVISION`.
        base: a Hub id, a folder, or `tiny`; None: the base of the recipe.
        recipe: a recipe of a training or an evaluation, for its `base` and `video`: a file or a built-in name.
            Empty: the recipe that trained the first adapter.
        overrides: values of `base` and `video`, as section.key=value.
        start, end: seconds; None: the start or the end of the video.
        hear: called with a model's name and the next piece of its answer, while it is written.

    Returns:
        A dictionary. video, question and base repeat what was asked. frames has the seconds of the frames. answers
        has a text for `base` and for each adapter's name. cut lists names whose answer reached `max_new_tokens`.

    Raises:
        LongVPOError: no base is named, an adapter is for another base or is not found, or the video cannot be read.
    """
    if not question.strip():
        raise LongVPOError("the question is empty")
    given = by_name([str(one) for one in adapters])
    asked = read_as_trained(next(iter(given.values()), None), base, recipe, overrides)
    found = {name: one.folder for name, one in find_adapters(asked.base, given).items()}
    request = _request(asked, path(video), question, start, end)
    frames = [round((start or 0.0) + time, 3) for time in request.times]
    say(f"frames:  {_said_of(frames)}")
    # the first adapter, switched off, is the base: that is loaded once
    turns = [(["base", name] if not number else [name], name) for number, name in enumerate(found)] or [(["base"], "")]
    answers: dict[str, Answer] = {}
    for names, name in turns:
        answers |= _answers(asked, found.get(name), names, request, max_new_tokens, hear)
        gc.collect()  # models are in memory one at a time, and modules refer to each other in circles
    return {
        "video": path(video).name,
        "question": question,
        "base": model_name(asked.base),
        "frames": frames,
        "answers": {name: answer.text for name, answer in answers.items()},
        "cut": [name for name, answer in answers.items() if not answer.whole],
    }


def _nobody(name: str, piece: str) -> None: ...


def _answers(
    asked: BenchmarkRecipe,
    adapter: Path | None,
    names: list[str],
    request: Request,
    max_new_tokens: int,
    hear: Hear | None,
) -> dict[str, Answer]:
    """What one loaded model says by these names, of which `base` is the one without its adapter."""
    of = {"adapter": str(adapter) if adapter else None, "max_new_tokens": max_new_tokens}
    writer = LocalWriter(WriterSection(**asked.base.model_dump(), **of))
    answers = {}
    for name in names:
        with writer.model.disable_adapter() if adapter and name == "base" else nullcontext():
            answers[name] = answer_aloud(writer, request, partial(hear or _nobody, name))
    return answers


def _request(asked: BenchmarkRecipe, video: Path, question: str, start: float | None, end: float | None) -> Request:
    """The video and the question, as training shows a context and asks about it."""
    span = {"start_time": start, "end_time": end}
    content = [{"type": "video", "url": str(video), **span}, {"type": "text", "text": question}]
    request = Documents(asked.video).request("ask", lambda: [{"role": "user", "content": content}])
    found = extent(video)
    length = found.header or found.end
    if end is not None and end > length + SLACK:  # as of pairs
        raise LongVPOError(f"the end, {end:g} s, is after that of {video.name}, which lasts {length:.2f} s")
    return request


def _said_of(frames: list[float]) -> str:
    """How many frames there are, and when."""
    if len(frames) <= FEW:
        return f"{len(frames)}, at {', '.join(f'{time:g}' for time in frames)} s"
    apart = (frames[-1] - frames[0]) / (len(frames) - 1)
    return f"{len(frames)}, one every {apart:.3g} s from {frames[0]:g} to {frames[-1]:g} s"
