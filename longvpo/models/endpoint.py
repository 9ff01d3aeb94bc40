"""A model behind a server with the OpenAI chat protocol: vLLM, SGLang, llama.cpp, Inference Providers.

The rule: an answer is handed over the moment it is there. Whatever ends a run (a dead server, a wrong key, the limit
of the cost) first lets the requests that are under way come in.
"""

from __future__ import annotations

import asyncio
import base64
import io
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from longvpo.errors import LongVPOError, say
from longvpo.io.temporary import own_folder
from longvpo.models.address import http_client
from longvpo.models.chat import Chat, Messages, RefusedError
from longvpo.models.replies import Reply
from longvpo.models.text import Expected
from longvpo.models.writer import Answer, Ask, Keep, NoAnswersError, Pairs, Request, answered
from longvpo.recipe.prompts import REPAIR, TEXT_ONLY
from longvpo.recipe.sections import EndpointSection, WriterSection
from longvpo.video.frames import write_video
from longvpo.video.joined import at_rate

FramesAs = Literal["images", "video_jpeg", "video_url"]

SUSPECT = 8  # requests without an answer that can be used, and none with one: the recipe is at fault, not the rows
TOO_LARGE = 413

# The later frames must show at least this share of the growth that the first ones announce. Images are counted one by
# one; families merge the neighbouring frames of a video, and shrink those of a long one.
LEAST_GROWTH: dict[FramesAs, float] = {"images": 0.9, "video_jpeg": 0.5, "video_url": 0.5}
MORE_FRAMES: dict[FramesAs, str] = {
    "images": "raise vLLM's --limit-mm-per-prompt, or set video.max_frames lower",
    "video_jpeg": "set endpoint.frames_as: images, or video.max_frames lower",
    "video_url": "set endpoint.frames_as: images, start vLLM with --media-io-kwargs "
    """'{"video": {"num_frames": -1}}', or set video.max_frames lower""",
}


class Choice(Expected):
    """Which of two answers is right."""

    right: str = Field(json_schema_extra={"enum": ["A", "B"]})


class EndpointWriter:
    """Asks a server, many requests at a time; each is a batch of its own."""

    def __init__(self, section: WriterSection, endpoint: EndpointSection) -> None:
        self.name = f"{section.model}@{section.revision}"
        # neither the url nor the provider: another server of the same model can resume
        self.settings: dict[str, Any] = {"max_new_tokens": section.max_new_tokens, "frames_as": endpoint.frames_as}
        if endpoint.frames_as != "images":  # these have their times beside them, as they always had
            self.settings["times"] = True
        if endpoint.parameters:
            self.settings["parameters"] = endpoint.parameters
        self.chat = Chat(section, endpoint)
        self.endpoint = endpoint
        self.kept = 0
        self._holds = True  # the server can hold an answer to a schema
        self._answered = False
        self._without = 0  # requests that have no answer that can be used
        self._checked = 0  # frames up to which the server was seen to count them

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return [[index] for index in range(len(requests))]

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        """Answer the batches and hand each over when it is done.

        Raises:
            LongVPOError: the server cannot be used, cuts videos, or fails for good, or `max_cost` is reached; all
                answers that came are kept.
        """
        asyncio.run(self._write(batches, keep))

    choosing = "asked which answer is right, without a video, in random order"

    def prefers(self, pairs: Pairs, ask: Ask, seed: int) -> list[float | None]:
        as_they_are = np.random.default_rng(seed).random(len(pairs)) < 0.5
        requests = []
        for (question, *answers), kept in zip(pairs, as_they_are, strict=True):
            first, second = answers if kept else reversed(answers)
            text = TEXT_ONLY.format(question=question, first=first, second=second)
            requests.append(Request(text, expects=Choice))
        points = {"A": 1.0, "B": 0.0}
        said = [Choice.read(answer.text) for answer in ask(requests)]
        found = [points.get(one.right) if one else None for one in said]
        return [one if kept or one is None else 1 - one for one, kept in zip(found, as_they_are, strict=True)]

    async def _write(self, batches: list[list[Request]], keep: Keep) -> None:
        self.chat.stop = asyncio.Event()
        failures: list[LongVPOError] = []
        refused: list[tuple[int, Answer]] = []
        queue = iter(enumerate(batches))

        async def work() -> None:
            for number, (request,) in queue:
                if self.chat.stop.is_set():
                    return
                try:
                    self.chat.check_cost()
                    answer = await self._answer(request)
                    if answer.flaw:
                        self._without += 1
                        refused.append((number, answer))
                    else:
                        self._answered = True
                        self.kept += 1
                        keep(number, [answer])
                    if self._without >= SUSPECT and not self._answered:
                        raise NoAnswersError(self._nothing(answer))
                except LongVPOError as failure:
                    failures.append(failure)
                    self.chat.stop.set()
                while refused and self._answered:
                    number, answer = refused.pop()
                    keep(number, [answer])

        async with http_client() as self.chat.client:
            try:
                await self._check_most(batches)
            except LongVPOError as failure:
                failures.append(failure)
            else:
                await asyncio.gather(*(work() for _ in range(min(self.endpoint.concurrency, len(batches)))))
        if failures:
            raise type(failures[0])(
                f"{failures[0]}; {self.kept} answers of this run are kept: run the same command again to resume"
            ) from None
        for number, answer in refused:
            keep(number, [answer])

    def _nothing(self, answer: Answer) -> str:
        """What to say where nothing can be used, by one of the answers."""
        how = "refuses every request" if answer.flaw == "writer" else "gives no answer that can be used"
        return f"{self.chat.place} {how}: {answer.error or 'all are empty'}"

    async def _answer(self, request: Request) -> Answer:
        said = await asyncio.to_thread(content, request, self.endpoint.frames_as)
        messages: Messages = [{"role": "user", "content": said}]
        try:
            first, form = await self._first(messages, request)
        except RefusedError as refusal:
            return Answer("", error=str(refusal))
        expects = request.expects
        if expects is None or (first.error and first.whole) or _valid(first, expects):
            return answered(first, request, form)
        if form == "schema" and first.whole:
            self._holds = False  # it took the schema and paid no heed to it
        messages += [
            {"role": "assistant", "content": first.text or "..."},
            {"role": "user", "content": REPAIR.format(keys=", ".join(expects.model_fields))},
        ]
        try:
            second = await self.chat.ask(messages, request, held=self._holds)
        except RefusedError:  # such as: the conversation is too long now
            return answered(first, request, "invalid")
        both = replace(
            second,
            prompt_tokens=_sum(first.prompt_tokens, second.prompt_tokens),
            completion_tokens=_sum(first.completion_tokens, second.completion_tokens),
        )
        return answered(both, request, "repaired" if _valid(second, expects) else "invalid")

    async def _first(self, messages: Messages, request: Request) -> tuple[Reply, str]:
        """The reply to a request, and in which form it was asked for."""
        if request.expects is None:
            return await self.chat.ask(messages, request), "text"
        if self._holds:
            with suppress(RefusedError):
                return await self.chat.ask(messages, request, held=True), "schema"
        reply = await self.chat.ask(messages, request)
        self._holds = False  # that the plain request passes shows that the schema was refused, not the request
        return reply, "json"

    async def check_frames(self, count: int, height: int, width: int, fps: float = 1.0) -> None:
        """Ask about more and more frames, up to `count`, and compare by how much the prompt's tokens grow.

        In some families a single image has more tokens than an image among several, so at least two are compared. The
        numbers are even, because other families merge frames in pairs.

        Raises:
            LongVPOError: the server leaves frames out, or refuses so many.
        """
        counts = [2, (count + 2) // 4 * 2, count] if count >= 6 else [0, count]
        tokens = []
        for number in counts:
            frames = np.stack([np.full((height, width, 3), 255 * i // count, np.uint8) for i in range(number or 1)])
            try:
                reply = await self._show(frames[:number], fps)
            except RefusedError as refusal:
                raise LongVPOError(await self._refused(frames[:number], fps, refusal)) from None
            if reply.prompt_tokens is None:
                say(f"warning: {self.chat.place} reports no tokens: whether it sees all frames is unknown")
                return
            tokens.append(reply.prompt_tokens)
        rates = [(b - a) / (m - n) for a, b, n, m in zip(tokens, tokens[1:], counts, counts[1:], strict=False)]
        if rates[0] <= 0 or rates[-1] < LEAST_GROWTH[self.endpoint.frames_as] * rates[0]:
            seen = ", ".join(f"{one} for {number}" for one, number in zip(tokens, counts, strict=True))
            raise LongVPOError(
                f"{self.chat.place} does not see all frames: prompt tokens are {seen} frames; "
                f"{MORE_FRAMES[self.endpoint.frames_as]}"
            )

    async def _show(self, frames: np.ndarray, fps: float) -> Reply:
        """A reply of one token to some frames, or none."""
        parts = media_parts(frames, self.endpoint.frames_as, fps) if len(frames) else []
        told = at_rate(len(frames), fps)
        said: Messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "What is seen?"}]}]
        return await self.chat.ask(said, Request("", times=told.times, seconds=told.seconds), max_tokens=1)

    async def _refused(self, frames: np.ndarray, fps: float, refusal: RefusedError) -> str:
        """What a refusal of so many frames means: the server may refuse every request, or every image."""
        place, form = self.chat.place, self.endpoint.frames_as
        for fewer in () if refusal.status == TOO_LARGE else range(min(len(frames), 2)):
            try:
                await self._show(frames[:fewer], fps)
            except RefusedError as again:
                if fewer:
                    return (
                        f"{place} takes no images in the form {form} ({again}): name a model that sees, start its "
                        "server with its vision side, or set endpoint.frames_as"
                    )
                refusal, frames = again, frames[:0]
                break
        if len(frames):
            return f"{place} refuses {len(frames)} frames ({refusal}): {MORE_FRAMES[form]}"
        return f"{place} refuses every request ({refusal}): set the server's options, or endpoint.parameters"

    async def _check_most(self, batches: list[list[Request]]) -> None:
        most = max((request for batch in batches for request in batch), key=lambda one: one.count, default=None)
        if most is not None and most.frames is not None and most.count > self._checked:
            height, width = (await asyncio.to_thread(most.frames)).shape[1:3]
            await self.check_frames(most.count, height, width, most.shown.fps)
            self._checked = most.count


def content(request: Request, frames_as: FramesAs) -> str | list[dict[str, Any]]:
    """A request as the user's message: its frames, each image after its time, and its text last."""
    if request.frames is None:
        return request.text
    parts = media_parts(request.frames(), frames_as, request.shown.fps)
    if frames_as == "images":
        stamps = [{"type": "text", "text": f"{time:.1f} s:"} for time in request.times]
        parts = [part for pair in zip(stamps, parts, strict=True) for part in pair]
    return [*parts, {"type": "text", "text": request.text}]


def media_parts(frames: np.ndarray, frames_as: FramesAs, fps: float) -> list[dict[str, Any]]:
    """uint8 RGB frames of shape (frames, height, width, 3) as parts of a message: one each, or one video."""
    if frames_as == "video_url":
        return [{"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{_mp4(frames, fps)}"}}]
    jpegs = [_jpeg(frame) for frame in frames]
    if frames_as == "video_jpeg":
        return [{"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{','.join(jpegs)}"}}]
    return [{"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{jpeg}"}} for jpeg in jpegs]


def _jpeg(frame: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=90)
    return base64.b64encode(file.getvalue()).decode()


def _mp4(frames: np.ndarray, fps: float) -> str:
    rate = Fraction(fps).limit_denominator(10**6)
    height, width = frames.shape[1:3]
    with own_folder("request") as folder:
        path = folder / "clip.mp4"
        write_video(path, frames[:, : height // 2 * 2, : width // 2 * 2], rate)  # H.264 takes only even sizes
        return base64.b64encode(path.read_bytes()).decode()


def _valid(reply: Reply, expects: type[Expected]) -> bool:
    return reply.whole and expects.stands_in(reply.text)


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second
