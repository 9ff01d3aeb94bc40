"""Released models of the five families, without their weights: configurations and processors, for what they cost.

The values are those of the models' own files (config.json, preprocessor_config.json), which the tests cannot fetch:
they are written out here, each with where it was read. Their tokenizers are not here. What families write between
frames (`Frame7: `, `<6.5 seconds>`) is counted as their tokenizers split it: a word, a digit or a run of punctuation
is a token. The table of recipes/training.md is printed by

    PYTHONPATH=tests python -m support.released
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers
from peft import LoraConfig
from support.families import CHATML
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

from longvpo.models.counting import WIDE, video_row
from longvpo.models.memory import Skeleton
from longvpo.recipe.sections import ModelSection, VideoSection
from longvpo.recipe.training import LoraSection
from longvpo.training.memory import step_memory
from longvpo.video.frames import scaled_size

# Qwen2's and, but for contractions, SmolLM2's
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ANSWERS = 200  # tokens of chosen and rejected together
FRAMES = (32, 64, 128, 256)


def internvl3_1b(**text: Any) -> tuple[Any, Any]:
    """Text and vision: the configuration of OpenGVLab/InternVL3-1B, as printed in shivangjhalani/multicoco on GitHub,
    which transformers' convert_internvl_weights_to_hf.py takes over; processor: that script. Held against the size of
    model.safetensors, 1.88 GB in bfloat16."""
    names = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    side = {"height": 448, "width": 448}
    processor = transformers.InternVLProcessor(
        image_processor=transformers.GotOcr2ImageProcessor(size=side, crop_to_patches=False),
        video_processor=transformers.InternVLVideoProcessor(size=side),
        tokenizer=tokenizer(**names, video_token="<video>"),
        image_seq_length=256,
        chat_template=CHATML.replace("VIDEO", "<video>\n"),
    )
    config = transformers.InternVLConfig(
        text_config={
            "model_type": "qwen2",
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "vocab_size": 151_674,
            "tie_word_embeddings": False,
            **text,
        },
        vision_config={"attention_bias": True},  # the rest are transformers' defaults, which are this model's
        tie_word_embeddings=False,
    )
    return config, processor


def qwen2_5_vl_3b(tied: bool = True, **text: Any) -> tuple[Any, Any]:
    """config.json as quoted on GitHub (`# Qwen/Qwen2.5-VL-3B-Instruct`, `## model config`), preprocessor_config.json
    as in the Hub's copies of it. Held against the size of the two safetensors, 3.98 + 3.53 GB in bfloat16."""
    size = {"shortest_edge": 3136, "longest_edge": 12_845_056}
    processor = transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(size=size),
        video_processor=transformers.Qwen2VLVideoProcessor(size=size),
        tokenizer=qwen_tokenizer(),
        chat_template=CHATML.replace("VIDEO", "<|vision_start|><|video_pad|><|vision_end|>"),
    )
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 2048,
            "intermediate_size": 11_008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151_936,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
            "tie_word_embeddings": tied,
            **text,
        },
        vision_config={
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": text.get("hidden_size", 2048),
        },
        tie_word_embeddings=tied,
    )
    return config, processor


def qwen3_vl_4b(tied: bool = True, vision: dict[str, Any] | None = None, **text: Any) -> tuple[Any, Any]:
    """config.json as written out in several projects on GitHub (one of them names it QWEN3VL_4B_CONFIG),
    video_preprocessor_config.json as in the Hub's copies of it."""
    size = {"shortest_edge": 4096, "longest_edge": 25_165_824}
    processor = transformers.Qwen3VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(size=size, patch_size=16),
        video_processor=transformers.Qwen3VLVideoProcessor(size=size),
        tokenizer=qwen_tokenizer(),
        chat_template=CHATML.replace("VIDEO", "<|vision_start|><|video_pad|><|vision_end|>"),
    )
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True}
    config = transformers.Qwen3VLConfig(
        text_config={
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151_936,
            "rope_parameters": rope,
            "tie_word_embeddings": tied,
            **text,
        },
        vision_config={
            "depth": 24,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_heads": 16,
            "out_hidden_size": text.get("hidden_size", 2560),
            "patch_size": 16,
            "deepstack_visual_indexes": [5, 11, 17],
            **(vision or {}),
        },
        tie_word_embeddings=tied,
    )
    return config, processor


def smolvlm2_2b(
    side: int = 384, frame: int = 81, scale: int = 3, vision: dict[str, Any] | None = None, **text: Any
) -> tuple[Any, Any]:
    """Text: the model's config.json on the Hub; vocabulary: mlx-vlm's test of it; vision: SmolVLM is built on
    google/siglip-so400m-patch14-384; preprocessor_config.json as in the Hub's copies of it. Held against the size of
    the two safetensors, 4.96 + 4.03 GB in float32."""
    names = {
        "fake_image_token": "<fake_token_around_image>",
        "image_token": "<image>",
        "global_image_token": "<global-img>",
        "video_token": "<video>",
        "end_of_utterance_token": "<end_of_utterance>",
    }
    size = {"longest_edge": side}
    processor = transformers.SmolVLMProcessor(
        image_processor=transformers.SmolVLMImageProcessor(size={"longest_edge": 1536}, max_image_size=size),
        video_processor=transformers.SmolVLMVideoProcessor(size=size, max_image_size=size, num_frames=64, fps=1),
        tokenizer=tokenizer("<end_of_utterance>", **names),
        image_seq_len=frame,
        chat_template=DEFAULT_CHAT_TEMPLATE,
    )
    config = transformers.SmolVLMConfig(
        text_config={
            "model_type": "llama",
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 24,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "head_dim": 64,
            "vocab_size": 49_280,
            "tie_word_embeddings": False,
            **text,
        },
        vision_config={
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "num_attention_heads": 16,
            "image_size": side,
            "patch_size": 14,
            **(vision or {}),
        },
        scale_factor=scale,
        image_token_id=49_190,
    )
    return config, processor


def llava_onevision_7b() -> tuple[Any, Any]:
    """Processor, vision and vocabulary (that of Qwen2-7B with two tokens more, in steps of 64): transformers'
    convert_llava_onevision_weights_to_hf.py and the Hub's copies of video_processor/preprocessor_config.json; text:
    config.json of Qwen2-7B-Instruct."""
    side = {"height": 384, "width": 384}
    processor = transformers.LlavaOnevisionProcessor(
        image_processor=transformers.LlavaOnevisionImageProcessor(size=side),
        video_processor=transformers.LlavaOnevisionVideoProcessor(size=side),
        tokenizer=tokenizer(image_token="<image>", video_token="<video>"),
        num_image_tokens=729,
        vision_feature_select_strategy="full",
        chat_template=CHATML.replace("VIDEO", "<video>\n"),
    )
    config = transformers.LlavaOnevisionConfig(
        text_config={
            "model_type": "qwen2",
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152_128,
            "tie_word_embeddings": False,
        },  # the vision side's are transformers' defaults, which are this model's
    )
    return config, processor


RELEASED: dict[str, Callable[[], tuple[Any, Any]]] = {
    "OpenGVLab/InternVL3-1B-hf": internvl3_1b,
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": smolvlm2_2b,
    "Qwen/Qwen2.5-VL-3B-Instruct": qwen2_5_vl_3b,
    "Qwen/Qwen3-VL-4B-Instruct": qwen3_vl_4b,
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": llava_onevision_7b,
}


def tokenizer(end: str = "<|im_end|>", **names: str) -> Any:
    """Splits as the families' do, and knows no word: every piece is the unknown token."""
    pieces = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS), "isolated")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        unk_token="<unk>",
        eos_token=end,
        pad_token="<pad>",
        additional_special_tokens=["<|im_start|>"],
        extra_special_tokens=names,
        model_max_length=1_000_000,
    )


def qwen_tokenizer() -> Any:
    return tokenizer(
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
    )


def table() -> list[str]:
    """The lines of the table: tokens, and memory in GB of 10^9 bytes, of every model at every number of frames."""
    heads = [
        "base",
        "frames",
        "tokens per frame",
        "tokens",
        "weights",
        "vision",
        "activations",
        "total",
        "without checkpointing",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
    base = ModelSection(model="any", dtype="bfloat16", quantization="nf4")
    lora = LoraConfig(**LoraSection().of_peft())
    video = VideoSection()
    for name, make in RELEASED.items():
        config, processor = make()
        skeleton = Skeleton(config)
        for frames in FRAMES:
            row = video_row(processor, frames, scaled_size(*WIDE, video.short_side), video.fps, "What happens?")
            tokens = row.tokens + ANSWERS
            parts, kept = (
                step_memory(skeleton, base, lora, tokens, ANSWERS, row.pixels, checkpointing=on)
                for on in (True, False)
            )
            shown = [*(parts[part] for part in ("weights", "vision", "activations", "total")), kept["total"]]
            cells = [name.split("/")[1], f"{frames}", f"{row.video / frames:.0f}", f"{tokens:,}"]
            lines.append(f"| {' | '.join([*cells, *(f'{part / 1e9:.1f}' for part in shown)])} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()))
