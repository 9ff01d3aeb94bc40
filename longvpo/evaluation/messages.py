"""The messages of a benchmark's document as one request: a text, and one video as training shows one.

Several images, or a folder of them, are a video of so many frames, one each 1/fps seconds, in their order. A document
without pictures is asked as a text. Whatever else a document shows is refused: no answer is better than one that did
not see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from longvpo.errors import LongVPOError, VideoError
from longvpo.io.names import by_number
from longvpo.models.writer import Request
from longvpo.recipe.sections import VideoSection
from longvpo.video.extent import extent
from longvpo.video.frames import ClipFrames, scaled_size
from longvpo.video.joined import Shown, join, shown, thin
from longvpo.video.kept import hash_of

Messages = Sequence[Mapping[str, Any]]
NEW_TOKENS = 1024  # tokens of an answer, where a task does not say it; other models of lmms-eval have the same
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class Documents:
    """Turns messages into requests. Questions about one video share its decoded frames."""

    def __init__(self, section: VideoSection, processes: int = 1) -> None:
        self.section = section
        self.folders: dict[str, Path] = {}  # pictures of the videos, by their own paths
        self.frames_of = ClipFrames(section, self.folders)
        self.frames_of.shared_by(processes)

    def request(self, task: str, messages: Callable[[], Messages], named: bool = False) -> Request:
        """What a model is asked about a document.

        Args:
            task: names the document's task, for errors.
            messages: gives its messages, again when the frames are wanted: images are not held until then.
            named: the request says what its frames show, so that a journal can tell it from others.

        Raises:
            LongVPOError: it shows what longvpo does not ask about.
        """
        text, pictures = _parts(task, messages())
        kinds = {kind for kind, _ in pictures}
        if not pictures:
            return Request(text)
        if kinds == {"image"}:
            return self._of_images(text, lambda: _images(task, [url for _, url in _parts(task, messages())[1]]), named)
        if len(pictures) > 1:
            raise LongVPOError(
                f"{task}: longvpo answers about one video, and a document shows {len(pictures)} videos and images: "
                "leave this task out"
            )
        (part,) = (url for _, url in pictures)
        path = Path(str(part["url"]).removeprefix("file://"))
        if path.is_dir():
            listed = sorted(path.iterdir(), key=lambda file: by_number(file.name))
            files = [str(file) for file in listed if file.suffix.lower() in IMAGES and not file.name.startswith(".")]
            if not files:
                raise VideoError(f"{task}: no image lies in {path}")
            return self._of_images(text, lambda: _images(task, files), named)
        return self._of_video(task, text, path, part, named)

    def _of_video(self, task: str, text: str, path: Path, part: Mapping[str, Any], named: bool) -> Request:
        whole = extent(path)
        length = whole.header or whole.end
        start, end = float(part.get("start_time") or 0.0), min(float(part.get("end_time") or length), length)
        if not 0 <= start < end:
            raise VideoError(f"{task}: {path.name} has no span from {start:g} to {end:g} s: it lasts {length:.2f} s")
        self.folders[str(path.parent)] = path.parent
        clip = {"source": str(path.parent), "video": path.name, "start": start, "end": end}
        told = shown([(start, end)], [self.frames_of.count(clip)])
        media = f"{hash_of(path)} {start:g}-{end:g}" if named else ""
        return self._asked(text, told, media, lambda: self.frames_of(clip))

    def _of_images(self, text: str, images: Callable[[], Iterator[Image.Image]], named: bool) -> Request:
        count, pixels = 0, hashlib.sha256()
        for image in images():
            count += 1
            if named:
                pixels.update(f"{image.size}".encode() + image.tobytes())
        (places,) = thin([np.arange(count)], self.section.max_frames)
        told = Shown(tuple(round((place + 0.5) / self.section.fps, 3) for place in places), count / self.section.fps)

        def frames() -> np.ndarray:
            kept = [self._scaled(image) for place, image in enumerate(images()) if place in set(places.tolist())]
            return join([np.asarray(image)[None] for image in kept], self.section.fit)

        return self._asked(text, told, f"images {pixels.hexdigest()}" if named else "", frames)

    def _scaled(self, image: Image.Image) -> Image.Image:
        size = scaled_size(*image.size, self.section.short_side)
        return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)

    def _asked(self, text: str, told: Shown, media: str, frames: Callable[[], np.ndarray]) -> Request:
        seen = f" {self.section.short_side} {self.section.fit} jpeg {self.section.jpeg_quality}" if media else ""
        return Request(text, times=told.times, seconds=told.seconds, media=media + seen, frames=frames)


def token_limit(task: str, options: Mapping[str, Any]) -> int:
    """The most tokens of an answer. Raises LongVPOError when it is not to be the greedy one."""
    if options.get("do_sample") or options.get("temperature") or options.get("num_beams", 1) not in (1, None):
        raise LongVPOError(
            f"{task} asks for answers that are drawn or searched for, and longvpo answers greedily: add --gen_kwargs "
            "temperature=0,do_sample=False,num_beams=1"
        )
    return int(options.get("max_new_tokens") or NEW_TOKENS)


def until(text: str, ends: str | list[str]) -> str:
    """An answer up to the first of the texts that end it."""
    stops = [ends] if isinstance(ends, str) else ends
    return text[: min((place for stop in stops if stop and (place := text.find(stop)) >= 0), default=len(text))]


def _parts(task: str, messages: Messages) -> tuple[str, list[tuple[str, Any]]]:
    """The text of a document, and what it shows: `image` with the image, `video` with its message."""
    texts, pictures = [], []
    for message in messages:
        if message["role"] != "user":
            raise LongVPOError(
                f"{task}: longvpo answers questions as it was trained to, without other turns, and a document has one "
                f"of role {message['role']}: leave this task out"
            )
        for part in message["content"]:
            match part["type"]:
                case "text":
                    texts.append(part["text"])
                case "image":
                    pictures.append(("image", part["url"]))
                case "video":
                    pictures.append(("video", _spanned(part["url"]) if isinstance(part["url"], dict) else part))
                case kind:
                    raise LongVPOError(f"{task}: longvpo takes no {kind}: leave this task out")
    return "\n".join(texts), pictures


def _spanned(visual: Mapping[str, Any]) -> dict[str, Any]:
    """A video that a task gives as a dict, with its span under the names that a message has for it."""
    url = visual.get("url") or visual.get("path")
    return {"url": url, "start_time": visual.get("video_start"), "end_time": visual.get("video_end")}


def _images(task: str, urls: Sequence[Any]) -> Iterator[Image.Image]:
    for url in urls:
        if not isinstance(url, str | Path | Image.Image):
            raise LongVPOError(f"{task}: an image comes as {type(url).__name__}: leave this task out")
        yield (url if isinstance(url, Image.Image) else Image.open(url)).convert("RGB")
