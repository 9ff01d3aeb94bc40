"""What a benchmark's document becomes: one video with its true times, or one clear refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from longvpo.errors import LongVPOError
from longvpo.evaluation.messages import Documents, token_limit, until
from longvpo.models.writer import Request
from longvpo.recipe.sections import VideoSection
from longvpo.video.frames import read_frames, sample_times

SECTION = VideoSection(fps=1, max_frames=2, short_side=64)
TEXT = {"type": "text", "text": "what is it?"}


def asked(*parts: dict[str, Any], section: VideoSection = SECTION, role: str = "user", named: bool = False) -> Request:
    messages = [{"role": role, "content": [*parts]}]
    return Documents(section).request("some_task", lambda: messages, named)


def pictures(number: int, size: tuple[int, int] = (80, 64)) -> list[Image.Image]:
    """Images of one grey each, the first of 0, the next of 10."""
    return [Image.new("RGB", size, (10 * grey,) * 3) for grey in range(number)]


def test_a_video_is_sampled_as_in_training(film: Path) -> None:
    """The film has eight pictures in two seconds."""
    request = asked({"type": "video", "url": str(film)}, TEXT)
    assert (request.text, request.times, request.seconds) == ("what is it?", (0.5, 1.5), 2.0)
    assert request.frames
    assert (request.frames() == read_frames(film, sample_times(0, 2, 1, 2), 64)).all()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video", "url": "FILM", "start_time": 0.5, "end_time": 1.5},
        {"type": "video", "url": {"path": "FILM", "video_start": 0.5, "video_end": 1.5}},
    ],
)
def test_start_and_end_are_those_of_the_message(film: Path, part: dict[str, Any]) -> None:
    url = {**part["url"], "path": str(film)} if isinstance(part["url"], dict) else f"file://{film}"
    request = asked(part | {"url": url}, TEXT, section=VideoSection(fps=4, short_side=64))
    assert (request.times, request.seconds) == ((0.125, 0.375, 0.625, 0.875), 1.0)
    assert request.frames
    assert (request.frames() == read_frames(film, sample_times(0.5, 1.5, 4, 64), 64)).all()
    beyond = asked({"type": "video", "url": str(film), "start_time": 1.0, "end_time": 60.0}, TEXT)
    assert beyond.seconds == 1.0, "a span ends where the video does"


def test_images_are_a_video_in_their_order(tmp_path: Path) -> None:
    images = [{"type": "image", "url": image} for image in pictures(3)]
    request = asked(*images, TEXT, section=VideoSection(fps=2, short_side=64))
    assert (request.times, request.seconds) == ((0.25, 0.75, 1.25), 1.5)
    assert request.frames
    frames = request.frames()
    assert frames.shape == (3, 64, 80, 3)
    assert frames[:, 0, 0, 0].tolist() == [0, 10, 20]

    for grey, image in enumerate(pictures(12)):
        image.save(tmp_path / f"{grey}.png")
    thinned = asked({"type": "video", "url": str(tmp_path)}, TEXT)  # a folder of images, such as MVBench's
    assert thinned.times == (3.5, 9.5)
    assert thinned.frames
    assert thinned.frames()[:, 0, 0, 0].tolist() == [30, 90], "2.png comes before 10.png, and two are left, evenly"

    mixed = asked(
        *({"type": "image", "url": str(tmp_path / "0.png")}, {"type": "image", "url": pictures(1, (300, 100))[0]})
    )
    assert mixed.frames
    assert mixed.frames().shape == (2, 64, 192, 3), "scaled to the short side, on one canvas"


def test_a_document_without_pictures_is_a_text() -> None:
    request = asked(TEXT, {"type": "text", "text": "A. a ring"})
    assert (request.text, request.times, request.frames) == ("what is it?\nA. a ring", (), None)


def test_a_journal_tells_frames_apart(film: Path) -> None:
    """By what they show, not by where it lies."""
    video = {"type": "video", "url": str(film)}
    images = [{"type": "image", "url": image} for image in pictures(3)]
    media = [
        asked(video, named=True).media,
        asked(video, named=True, section=SECTION.model_copy(update={"short_side": 448})).media,
        asked(video | {"start_time": 1.0}, named=True).media,
        asked(*images, named=True).media,
        asked(*reversed(images), named=True).media,
    ]
    assert len({*media, ""}) == 6
    assert media[0] == asked(video, named=True).media
    assert asked(video).media == ""


@pytest.mark.parametrize(
    ("parts", "role", "says"),
    [
        ([{"type": "video", "url": "FILM"}] * 2, "user", "answers about one video, and a document shows 2 videos and"),
        ([{"type": "video", "url": "FILM"}, {"type": "image", "url": "x.png"}], "user", "answers about one video"),
        ([{"type": "audio", "url": "x.wav"}], "user", "longvpo takes no audio: leave this task out"),
        ([TEXT], "system", "a document has one of role system"),
        ([{"type": "video", "url": "/no/such.mp4"}], "user", "no such video"),
        ([{"type": "video", "url": "FILM", "start_time": 5.0}], "user", "has no span from 5 to 2 s: it lasts 2.00 s"),
        ([{"type": "image", "url": b"bytes"}], "user", "an image comes as bytes"),
    ],
)
def test_what_it_does_not_ask_about_is_refused(film: Path, parts: list[dict[str, Any]], role: str, says: str) -> None:
    given = [part | {"url": str(film)} if part.get("url") == "FILM" else part for part in parts]
    with pytest.raises(LongVPOError) as refused:
        asked(*given, role=role)
    assert says in str(refused.value)


def test_questions_about_one_video_share_its_frames(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(
        "longvpo.video.frames.read_frames", lambda *asked: read.append(asked) or np.zeros((2, 8, 8, 3), np.uint8)
    )
    documents = Documents(SECTION)
    for text in ("what is it?", "where is it?"):
        messages = [{"role": "user", "content": [{"type": "video", "url": str(film)}, {"type": "text", "text": text}]}]
        request = documents.request("some_task", lambda messages=messages: messages)
        assert request.frames
        request.frames()
    assert len(read) == 1


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 1024),
        ({"max_new_tokens": 16}, 16),
        ({"max_new_tokens": 8, "do_sample": False, "temperature": 0, "num_beams": 1, "top_p": 1.0}, 8),
        ({"max_new_tokens": 8, "temperature": 0.0, "num_beams": None}, 8),
        ({"do_sample": True}, None),
        ({"temperature": 0.7}, None),
        ({"num_beams": 4}, None),
    ],
)
def test_answers_are_greedy_and_of_as_many_tokens_as_a_task_says(options: dict[str, Any], limit: int | None) -> None:
    if limit is not None:
        assert token_limit("some_task", options) == limit
        return
    with pytest.raises(LongVPOError, match=r"some_task asks for answers that are drawn or searched for.*--gen_kwargs"):
        token_limit("some_task", options)


def test_an_answer_ends_before_the_first_of_the_texts_that_end_it() -> None:
    assert until("B\n\nbecause", ["\n\n", "."]) == "B"
    assert until("B. because\n\n", ["\n\n", "."]) == "B"
    assert until("B", "\n\n") == "B"
    assert until("B", []) == "B"
