"""What the writer of stage 1 costs: on this machine it is timed, of a server its tokens are counted.

The rule: no server is asked, and what is a guess is called one.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from longvpo.dataset.session import make_writer
from longvpo.errors import LongVPOError
from longvpo.models.counting import WIDE, video_row
from longvpo.models.encode import encode
from longvpo.models.load import load_processor
from longvpo.models.writer import Request
from longvpo.recipe.dataset import DatasetRecipe, Stage1Section
from longvpo.recipe.sections import EndpointSection
from longvpo.video.frames import scaled_size
from longvpo.video.joined import shown

NOT_SAMPLED = "not measured: no video was sampled"
SPEED = 10_000  # prompt tokens per second that one server is assumed to read


def writing_cost(
    recipe: DatasetRecipe, section: Stage1Section, clips: list[np.ndarray], seconds: list[float]
) -> dict[str, Any]:
    """What the writer of stage 1 takes.

    Args:
        clips: the frames of those that were sampled.
        seconds: their lengths.
    """
    question = recipe.prompts.question.format(caption="a caption of some ten words, as a table may have it")
    if recipe.writer.endpoint is not None:
        return _of_server(recipe, section, recipe.writer.endpoint, question, clips)
    if not clips:
        return {"prompt_tokens_a_call": NOT_SAMPLED, "hours_to_write": NOT_SAMPLED}
    try:
        processor = load_processor(recipe.writer)
        times = [shown([(0.0, end)], [len(frames)]) for frames, end in zip(clips, seconds, strict=True)]
        tokens = int(encode(processor, [question], clips[:1], times[:1])["input_ids"].shape[1])
        writer = make_writer(recipe.writer)
    except LongVPOError as error:
        return {"prompt_tokens_a_call": f"not measured: {error}", "hours_to_write": "not measured: see above"}
    draws = recipe.writer.temperature
    requests = [
        Request(question, seed, draws, times=told.times, seconds=told.seconds, frames=partial(np.asarray, frames))
        for seed, (frames, told) in enumerate(zip(clips, times, strict=True))
    ]
    batches = [[requests[index] for index in batch] for batch in writer.batches(requests)]
    started = time.monotonic()
    writer.write(batches, lambda number, answers: None)
    hours = (time.monotonic() - started) / len(requests) * 2 * section.triplets / 3600
    return {"prompt_tokens_a_call": tokens, "hours_to_write": round(hours, 3)}


def _of_server(
    recipe: DatasetRecipe,
    section: Stage1Section,
    endpoint: EndpointSection,
    question: str,
    clips: list[np.ndarray],
) -> dict[str, Any]:
    """Tokens, hours and money: a question and a rejected answer for each anchor, by the writer's own processor."""
    try:
        processor = load_processor(recipe.writer)
    except LongVPOError as error:
        why = f"not counted: {error}"
        return dict.fromkeys(("prompt_tokens_a_call", "server_prompt_tokens", "hours_to_write", "cost_to_write"), why)
    video = recipe.video
    frames = round(float(np.mean([len(clip) for clip in clips]))) if clips else video.max_frames
    size = (clips[0].shape[2], clips[0].shape[1]) if clips else scaled_size(*WIDE, video.short_side)
    a_call = video_row(processor, frames, size, video.fps, question).tokens
    calls = {"at_least": 2 * section.triplets, "at_most": int(2 * section.triplets * section.attempts)}
    prompts = {bound: number * a_call for bound, number in calls.items() if clips or bound == "at_most"}
    answers = {bound: number * recipe.writer.max_new_tokens for bound, number in calls.items() if bound in prompts}
    hours = {bound: round(tokens / SPEED / 3600, 2) for bound, tokens in prompts.items()}
    priced = endpoint.price_in or endpoint.price_out
    return {
        "prompt_tokens_a_call": a_call if clips else {"at_most": a_call},
        "server_prompt_tokens": prompts,
        "server_answer_tokens": {"at_most": answers["at_most"]},
        "hours_to_write": hours | {"if_the_server_reads": f"{SPEED} prompt tokens a second, which is a guess"},
        "cost_to_write": {
            bound: round((prompts[bound] * endpoint.price_in + answers[bound] * endpoint.price_out) / 1e6, 2)
            for bound in prompts
        }
        if priced
        else "not known: set writer.endpoint.price_in and price_out, the prices of a million tokens",
    }
