"""Turn prompts, frames and texts into a model's inputs, by its own processor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from longvpo.errors import LongVPOError
from longvpo.models.load import _no_video
from longvpo.models.plain_text import TEXT, chat_text, encode_plainly, padded, tokenizer_of
from longvpo.video.joined import Shown, at_rate


def prompt_text(processor: Any, question: str) -> str:
    """The chat template's text for one video and one question, up to where the answer begins."""
    return chat_text(processor, [{"type": "video"}, {"type": "text", "text": question}])


def _inputs(processor: Any, chats: list[str], **videos: Any) -> dict[str, Any]:
    return dict(processor(text=chats, add_special_tokens=False, padding=True, return_tensors="pt", **videos))


def encode(processor: Any, questions: list[str], videos: list[np.ndarray], shown: Sequence[Shown]) -> dict[str, Any]:
    """Model inputs of prompts with one video each.

    Args:
        questions: n texts.
        videos: n arrays, uint8 RGB of shape (frames, height, width, 3). Most families need equal numbers of frames in
            one call.
        shown: when the frames of each are on screen. Families write these times between frames (SmolVLM2, Qwen3-VL),
            or take frames over seconds (Qwen2.5-VL), or nothing of it.

    Returns:
        The processor's tensors: input_ids and attention_mask of shape (n, tokens), padded on the left, and the pixels
        under the family's own names.

    Raises:
        LongVPOError: the model does not take videos.
    """
    if getattr(processor, "video_processor", None) is None:
        raise LongVPOError(_no_video(tokenizer_of(processor).name_or_path))
    frames, metadata = as_taken(processor, videos, shown)

    def inputs_of(chats: list[str]) -> dict[str, Any]:
        return _inputs(processor, chats, videos=frames, video_metadata=metadata, do_sample_frames=False)

    return encode_plainly(processor, questions, partial(prompt_text, processor), inputs_of)


def encode_each(
    processor: Any, questions: list[str], videos: list[np.ndarray], shown: Sequence[Shown]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Model inputs of prompts with one video each, of any lengths: families cannot stack those in one call.

    Returns:
        The processor's tensors without the pixels, those of texts (n, tokens), padded on the left; and the rest, with
        the pixels, once per video.
    """
    import torch

    each = [
        encode(processor, [text], [video], [one]) for text, video, one in zip(questions, videos, shown, strict=True)
    ]
    texts = [name for name in TEXT if name in each[0]]
    others = [name for name in each[0] if name not in TEXT and not name.startswith("pixel")]  # grids, seconds
    inputs = padded(processor, {name: [one[name][0] for one in each] for name in texts})
    inputs |= {name: torch.cat([torch.as_tensor(one[name]) for one in each]) for name in others}
    return inputs, [{name: value for name, value in one.items() if name not in texts} for one in each]


def as_taken(processor: Any, videos: Sequence[Any], shown: Sequence[Shown]) -> tuple[list[Any], list[dict[str, Any]]]:
    """The frames of videos as a processor takes them, and what it is told of their times.

    Qwen's encoders join frames in pairs, and repeat the last of an odd number; Qwen3-VL's refuses a lone one.
    """
    joined = getattr(processor.video_processor, "temporal_patch_size", 1)
    kept = [[min(place, len(video) - 1) for place in range(max(len(video), joined))] for video in videos]
    metadata = [one.metadata(places) for one, places in zip(shown, kept, strict=True)]
    return [video[places] for video, places in zip(videos, kept, strict=True)], metadata


def tells_times(processor: Any) -> bool:
    """Whether a model's inputs depend on how long a video is, beside its frames."""
    if getattr(processor, "video_processor", None) is None:
        return False
    frames = [np.zeros((4, 64, 64, 3), np.uint8)]
    short, long = (encode(processor, [""], frames, [at_rate(4, fps)]) for fps in (1.0, 0.01))
    return any(np.asarray(short[name]).tolist() != np.asarray(long[name]).tolist() for name in short)


def encode_texts(processor: Any, questions: list[str]) -> dict[str, Any]:
    """Model inputs of prompts without a video: input_ids and attention_mask (n, tokens), padded on the left."""
    plain = processor is tokenizer_of(processor)

    def chat(question: str) -> str:
        return chat_text(processor, question if plain else [{"type": "text", "text": question}])

    return encode_plainly(processor, questions, chat, partial(_inputs, processor))


def to_model(inputs: dict[str, Any], model: Any) -> dict[str, Any]:
    """Inputs on the model's device; pixels take its precision, token ids and times keep theirs."""
    return {
        # Qwen2.5-VL computes positions from second_per_grid_ts: in bfloat16 the later ones come out wrong
        name: value.to(model.device, model.dtype) if name.startswith("pixel_values") else value.to(model.device)
        for name, value in inputs.items()
    }
