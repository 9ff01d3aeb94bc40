"""Small random models of five families, built from config with the families' own processors.

Each has 64 columns, of which NF4 needs multiples, and grouped-query attention. Of frames of 96 pixels they make:

    internvl         1 token a frame
    qwen2_5_vl       4 tokens a pair of frames
    qwen3_vl         9 tokens a pair of frames, and the text of its time
    smolvlm2         4 tokens a frame, and the text of its time
    llava_onevision  4 tokens a frame, and 1 a video
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

WIDTH = 64
CHATML = """\
{% for message in messages %}<|im_start|>{{ message.role }}
{% for part in message.content %}{% if part.type == 'video' %}VIDEO{% else %}{{ part.text }}{% endif %}{% endfor %}\
<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
# what processors write around frames becomes few tokens
TEXTS = ["what color is the ring?", "assistant", "Frame1: ", "\nFrame from 00:01:", "<1.5 seconds>"]


def internvl(size: int = 28) -> tuple[Any, Any]:
    """InternVL with two layers and frames of `size` pixels: (model, processor)."""
    tokenizer = train_tokenizer(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    side, tokens = {"height": size, "width": size}, (size // 14) ** 2 // 4
    processor = transformers.InternVLProcessor(
        image_processor=transformers.GotOcr2ImageProcessor(size=side, crop_to_patches=False),
        video_processor=transformers.InternVLVideoProcessor(size=side),
        tokenizer=tokenizer,
        image_seq_length=tokens,
        chat_template=CHATML.replace("VIDEO", "<video>\n"),
    )
    config = transformers.InternVLConfig(
        vision_config={
            "hidden_size": WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": WIDTH,
            "image_size": [size, size],
            "patch_size": [14, 14],
        },
        text_config={"model_type": "qwen2", **language(tokenizer)},
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=tokens,
        tie_word_embeddings=False,
    )
    return build(transformers.InternVLForConditionalGeneration, config), processor


def qwen2_5_vl() -> tuple[Any, Any]:
    """Qwen2.5-VL with two layers and frames of 56 pixels: (model, processor)."""
    tokenizer = qwen_tokenizer()
    size = {"shortest_edge": 28 * 28, "longest_edge": 64 * 64}  # pixels of a frame, whose sides go in steps of 28
    processor = transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(size=size),
        video_processor=transformers.Qwen2VLVideoProcessor(size=size),
        tokenizer=tokenizer,
        chat_template=CHATML.replace("VIDEO", "<|vision_start|><|video_pad|><|vision_end|>"),
    )
    config = transformers.Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": WIDTH,
            "num_heads": 4,
            "intermediate_size": 2 * WIDTH,
            "out_hidden_size": WIDTH,
            "fullatt_block_indexes": [1],
        },
        text_config=language(tokenizer, rope_parameters=rope(mrope_section=[2, 3, 3])),
        **qwen_ids(tokenizer),
    )
    return build(transformers.Qwen2_5_VLForConditionalGeneration, config), processor


def qwen3_vl() -> tuple[Any, Any]:
    """Qwen3-VL with three layers, and frames as they are, in steps of 32 pixels: (model, processor).

    The outputs of the first two vision layers are added to the first two layers of the language model.
    """
    tokenizer = qwen_tokenizer()
    size = {"shortest_edge": 32 * 32, "longest_edge": 512 * 96 * 96}  # pixels of a whole video
    processor = transformers.Qwen3VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(size=size, patch_size=16),
        video_processor=transformers.Qwen3VLVideoProcessor(size=size),
        tokenizer=tokenizer,
        chat_template=CHATML.replace("VIDEO", "<|vision_start|><|video_pad|><|vision_end|>"),
    )
    config = transformers.Qwen3VLConfig(
        vision_config={
            "depth": 3,
            "hidden_size": WIDTH,
            "num_heads": 4,
            "intermediate_size": 2 * WIDTH,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 36,
            "deepstack_visual_indexes": [0, 1],
        },
        text_config=language(
            tokenizer,
            num_hidden_layers=3,
            head_dim=WIDTH // 4,
            rope_parameters=rope(mrope_section=[4, 2, 2], mrope_interleaved=True),
        ),
        **qwen_ids(tokenizer),
    )
    return build(transformers.Qwen3VLForConditionalGeneration, config), processor


def smolvlm2() -> tuple[Any, Any]:
    """SmolVLM2 with two layers and frames of 32 pixels: (model, processor)."""
    tokenizer = train_tokenizer(
        end="<end_of_utterance>",
        fake_image_token="<fake_token_around_image>",
        image_token="<image>",
        global_image_token="<global-img>",
        video_token="<video>",
        end_of_utterance_token="<end_of_utterance>",
    )
    size = {"longest_edge": 32}
    processor = transformers.SmolVLMProcessor(
        image_processor=transformers.SmolVLMImageProcessor(size=size, max_image_size=size, do_image_splitting=False),
        video_processor=transformers.SmolVLMVideoProcessor(size=size, max_image_size=size, num_frames=8, fps=1),
        tokenizer=tokenizer,
        image_seq_len=4,
        chat_template=DEFAULT_CHAT_TEMPLATE,
    )
    config = transformers.SmolVLMConfig(
        vision_config={
            "hidden_size": WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 2 * WIDTH,
            "image_size": 32,
            "patch_size": 8,
        },
        text_config={"model_type": "llama", **language(tokenizer)},
        scale_factor=2,
        image_token_id=tokenizer.image_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    return build(transformers.SmolVLMForConditionalGeneration, config), processor


def llava_onevision() -> tuple[Any, Any]:
    """LLaVA-OneVision with two layers and frames of 42 pixels: (model, processor)."""
    tokenizer = train_tokenizer(image_token="<image>", video_token="<video>")
    side, pinpoints = {"height": 42, "width": 42}, [[42, 42]]
    processor = transformers.LlavaOnevisionProcessor(
        image_processor=transformers.LlavaOnevisionImageProcessor(size=side, image_grid_pinpoints=pinpoints),
        video_processor=transformers.LlavaOnevisionVideoProcessor(size=side),
        tokenizer=tokenizer,
        num_image_tokens=9,
        vision_feature_select_strategy="full",
        chat_template=CHATML.replace("VIDEO", "<video>\n"),
    )
    config = transformers.LlavaOnevisionConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 2 * WIDTH,
            "image_size": 42,
            "patch_size": 14,
            "vision_use_head": False,
        },
        text_config={"model_type": "qwen2", **language(tokenizer)},
        image_token_index=tokenizer.image_token_id,
        video_token_index=tokenizer.video_token_id,
        image_grid_pinpoints=pinpoints,
        tie_word_embeddings=False,
    )
    return build(transformers.LlavaOnevisionForConditionalGeneration, config), processor


FAMILIES = {
    "internvl": internvl,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "smolvlm2": smolvlm2,
    "llava_onevision": llava_onevision,
}


def train_tokenizer(end: str = "<|im_end|>", **names: str) -> Any:
    """A byte-level BPE with a family's special tokens, which become its attributes; an answer ends with `end`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(dict.fromkeys(["<pad>", "<|im_start|>", end, *names.values()])),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=end,
        pad_token="<pad>",
        extra_special_tokens=names,
        model_max_length=100_000,
    )


def qwen_tokenizer() -> Any:
    return train_tokenizer(
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
    )


def qwen_ids(tokenizer: Any) -> dict[str, Any]:
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return {name: getattr(tokenizer, name) for name in names} | {"tie_word_embeddings": False}


def rope(**sections: Any) -> dict[str, Any]:
    """Positions in time, height and width."""
    return {"rope_type": "default", "rope_theta": 1e6, **sections}


def language(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """The language model's configuration."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 2 * WIDTH,
        "max_position_embeddings": 4096,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "tie_word_embeddings": False,
        **more,
    }


def build(kind: Any, config: Any) -> Any:
    torch.manual_seed(0)
    return kind(config)
