"""What a recipe may say of preference pairs that others made: which of their columns is which."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from longvpo.recipe.sections import Section


class PairSection(Section):
    """Columns of a dataset of others, by our words. A dot goes into what a cell holds, as in `conversations.0.value`,
    and `{id}.mp4` puts cells together. Texts may be messages, with `role` and `content` or `from` and `value`."""

    NEEDED: ClassVar = ("video", "prompt", "chosen", "rejected")
    video: str = Field(
        "video", description="a path, a list of one; or frames: a list of paths of pictures, or a folder of them"
    )
    start: str = Field("start", description="seconds, where the video is a part of its file; a table may have none")
    end: str = Field("end", description="seconds; a table may have none")
    anchor_start: str = Field(
        "anchor_start", description="seconds, from where the answer is seen; with it the reference may be anchor"
    )
    anchor_end: str = Field("anchor_end", description="seconds")
    prompt: str = Field("prompt", description="the question: a text, or messages with one question")
    chosen: str = Field("chosen", description="a text, a message, or messages of which the last is the answer")
    rejected: str = Field("rejected", description="as chosen")
    list_fps: float = Field(1.0, gt=0, le=1000, description="frames a second of videos that are lists of frames")
