"""The writer behind an endpoint, against two real servers on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.endpoints import ask, writer_for

from longvpo import TINY
from longvpo.dataset.replies import Question, Verdict
from longvpo.models.writer import Request
from longvpo.recipe import prompts
from longvpo.video.frames import read_frames


def test_llama_cpp_is_held_to_the_schema(llama: str) -> None:
    text = prompts.JUDGE.format(question="What color is the ring?", caption="a red ring", others="- a blue bar")
    requests = [Request(text, seed, 0.7, Verdict) for seed in (1, 2, 2)]
    answers = ask(writer_for(llama, timeout=60, max_new_tokens=200, concurrency=1), *requests)
    for answer in answers:
        assert answer.form == "schema"
        assert Verdict.stands_in(answer.text)
        assert answer.prompt_tokens is not None
        assert answer.prompt_tokens > 50
        assert answer.completion_tokens is not None
        assert answer.completion_tokens > 5
    assert answers[0].text != answers[1].text
    assert answers[1].text == answers[2].text


def test_serve_sees_the_frames(serve: str, test_world: Path) -> None:
    frames = read_frames(test_world / "videos" / "00000.mp4", np.arange(4) + 0.5)
    many = np.concatenate([frames] * 3)
    question = "what color is the thing?"
    short, long = (
        Request(question, times=tuple(i + 0.5 for i in range(len(one))), seconds=len(one), frames=lambda one=one: one)  # type: ignore[misc]
        for one in (frames, many)
    )
    writer = writer_for(serve, str(TINY), timeout=30, max_new_tokens=8)
    few, lots = ask(writer, short, long)
    assert few.text
    assert few.prompt_tokens is not None
    assert lots.prompt_tokens is not None
    assert lots.prompt_tokens - few.prompt_tokens >= 8 * 5, "5 tokens a frame, and its time"


def test_serve_pays_no_heed_to_a_schema(serve: str) -> None:
    """It takes a response_format and ignores it; the tiny model knows no JSON, so that no repair helps."""
    asked = Request("what color is the ring?", expects=Question)
    (answer,) = ask(writer_for(serve, str(TINY), timeout=30, max_new_tokens=8), asked)
    assert answer.form == "invalid"
    assert answer.text
