"""What the benchmarks of a step share: a small InternVL, stock TRL's trainer and collator, and rows of noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from trl import DPOTrainer

from longvpo.recipe.sections import VideoSection
from longvpo.training.collator import AnchoredCollator
from longvpo.video.frames import ClipFrames, write_video

CLIP = 8  # frames
SIDE = 112  # pixels


def small_internvl() -> tuple[Any, Any]:
    """Four layers of 256 columns over a vision tower of two, and its processor."""
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<pad>", "<|im_end|>", *names.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["what happens in the video?", "the red ball rolls", *map("Frame{}: ".format, range(128))], trainer
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<pad>", extra_special_tokens=names
    )
    size, tokens = {"height": SIDE, "width": SIDE}, (SIDE // 14) ** 2 // 4
    template = (
        "{% for m in messages %}{% for part in m.content %}{% if part.type == 'video' %}<video>\n"
        "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
    )
    processor = transformers.InternVLProcessor(
        image_processor=transformers.GotOcr2ImageProcessor(size=size, crop_to_patches=False),
        video_processor=transformers.InternVLVideoProcessor(size=size),
        tokenizer=fast,
        image_seq_length=tokens,
        chat_template=template,
    )
    config = transformers.InternVLConfig(
        vision_config={
            "hidden_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 256,
            "image_size": [SIDE, SIDE],
            "patch_size": [14, 14],
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(fast),
            "hidden_size": 256,
            "num_hidden_layers": 4,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "intermediate_size": 768,
            "pad_token_id": fast.pad_token_id,
            "eos_token_id": fast.eos_token_id,
            "bos_token_id": None,
            "tie_word_embeddings": False,
        },
        image_token_id=fast.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=tokens,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    return transformers.InternVLForConditionalGeneration(config), processor


class StockTrainer(DPOTrainer):
    """TRL's own; only the preparation of rows, which knows no video, is left out."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


class StockCollator(AnchoredCollator):
    """The same rows as stock TRL takes them: pixels for every sequence."""

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super().__call__([row | {"reference": "full"} for row in rows])
        del batch["clips"]
        (video,) = batch.pop("vision")
        pixels = video.on(torch.device("cuda" if torch.cuda.is_available() else "cpu"), self.processor)
        return batch | {name: torch.cat([value, value]) for name, value in pixels.items()}


class Noise:
    """Frames of clips, as ClipFrames gives them."""

    def __call__(self, clip: dict[str, Any], places: np.ndarray | None = None) -> np.ndarray:
        frames = np.random.default_rng(int(clip["start"])).integers(0, 256, (CLIP, SIDE, SIDE, 3), dtype=np.uint8)
        return frames if places is None else frames[places]

    def size(self, clip: dict[str, Any]) -> tuple[int, int]:
        return SIDE, SIDE

    def count(self, clip: dict[str, Any]) -> int:
        return CLIP


def kept_on_disk(frames: int, folder: str) -> ClipFrames:
    """Frames of the same clips of a video of noise, of which the first reader keeps what it decodes."""
    place = Path(folder) / f"noise-{frames}"
    place.mkdir(exist_ok=True)
    if not (place / "noise").is_file():
        pictures = np.random.default_rng(0).integers(0, 256, (frames, SIDE, SIDE, 3), dtype=np.uint8)
        write_video(place / "noise.mp4", pictures, 1)
        (place / "noise.mp4").rename(place / "noise")
    return ClipFrames(VideoSection(frames=place / "kept", cache_gb=1e-9), {"noise": place})


def row(frames: int) -> dict[str, Any]:
    clips = [
        {"source": "noise", "video": "noise", "start": float(start), "end": float(start + CLIP)}
        for start in range(0, frames, CLIP)
    ]
    return {
        "prompt": "what happens in the video after the red ball rolls?",
        "chosen": "a dog runs across the green field while the sun sets",
        "rejected": "the person picks up a blue cup",
        "context": clips,
        "anchors": [len(clips) // 2],
        "reference": "anchor",
    }
