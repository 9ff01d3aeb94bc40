"""Preference pairs from other tools: which of their columns is which."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from longvpo.recipe.sections import Section


class PairSection(Section):
    """Columns of a dataset from another tool. A dot reads inside a cell, as in `conversations.0.value`. Braces join
    cells, as in `{id}.mp4`. Texts may be messages, with `role` and `content` or with `from` and `value`."""

    NEEDED: ClassVar = ("video", "prompt", "chosen", "rejected")
    video: str = Field(
        "video",
        description="a path, or a list with one path; or frames: a list of paths of pictures, or a folder with "
        "pictures",
    )
    start: str = Field(
        "start", description="start in seconds, where the video is a part of its file; a table may lack this column"
    )
    end: str = Field("end", description="end in seconds; a table may lack this column")
    anchor_start: str = Field(
        "anchor_start", description="second from which the answer is seen; with it the reference may be anchor"
    )
    anchor_end: str = Field("anchor_end", description="second until which the answer is seen")
    prompt: str = Field("prompt", description="the question: a text, or messages with one question")
    chosen: str = Field("chosen", description="the better answer: a text, a message, or messages that end with it")
    rejected: str = Field("rejected", description="the worse answer, in the same form")
    list_fps: float = Field(1.0, gt=0, le=1000, description="frames per second, where a video is a list of frames")
