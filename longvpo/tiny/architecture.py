"""The embedded model before training: a LLaVA-OneVision of 1.1 million parameters, its processor and its two encoders.

LLaVA-OneVision writes one token per frame here and no text between frames, so 128 frames are 129 tokens. InternVL, the
paper's family, writes "FrameN: <img>...</img>" around every frame: with digits as tokens, seven times as many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longvpo.tiny.tasks import ATTRIBUTES, every_thing, single_clip_tasks


@dataclass(frozen=True)
class BaseRecipe:
    """Everything that decides the weights; recorded beside them."""

    seed: int = 0
    clips: int = 6000
    vision_steps: int = 3000
    vision_batch: int = 48
    vision_learning_rate: float = 2e-3
    language_steps: int = 1200
    language_batch: int = 48
    language_learning_rate: float = 5e-4
    vision_hidden: int = 128
    vision_layers: int = 3
    hidden: int = 128  # a multiple of 64: bitsandbytes packs NF4 in blocks of 64 columns on a CPU
    layers: int = 3
    heads: int = 4


def build_processor() -> Any:
    """LLaVA-OneVision's processor for 32-pixel frames; each word of the world is one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        PreTrainedTokenizerFast,
    )

    special = ["<pad>", "<|user|>", "<|assistant|>", "<|end|>", "<image>", "<video>"]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=special + [f"<0x{byte:02X}>" for byte in range(256)],
        show_progress=False,
    )
    tasks = [task for thing in every_thing() for task in single_clip_tasks(thing)]
    corpus = [text for _, question, answer in tasks for text in (question, answer)]
    # words of other questions, so that a later base can be asked them
    corpus += [
        "first last before after and then there are no yes one two three scene summary",
        "0 1 2 3 4 5 6 7 8 9",
    ] * 9
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<|end|>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        model_max_length=4096,
        padding_side="left",
    )
    template = (
        "{% for message in messages %}{{ '<|' + message.role + '|>' }}"
        "{% if message.content is string %}{{ message.content }}{% else %}"
        "{% for part in message.content %}"
        "{% if part.type == 'text' %}{{ part.text }}{% else %}{{ '<' + part.type + '>' }}{% endif %}"
        "{% endfor %}{% endif %}"
        "{% if message.role == 'assistant' %}<|end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    size = {"height": 32, "width": 32}
    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[32, 32]]),
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        tokenizer=fast,
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=template,
    )


def build_model(recipe: BaseRecipe, processor: Any) -> Any:
    """The untrained model: 16-pixel patches, four a frame, which the family pools into one token."""
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

    tokenizer = processor.tokenizer
    config = LlavaOnevisionConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": recipe.vision_hidden,
            "num_hidden_layers": recipe.vision_layers,
            "num_attention_heads": 4,
            "intermediate_size": 2 * recipe.vision_hidden,
            "image_size": 32,
            "patch_size": 16,
            "vision_use_head": False,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "hidden_size": recipe.hidden,
            "intermediate_size": 2 * recipe.hidden,
            "num_hidden_layers": recipe.layers,
            "num_attention_heads": recipe.heads,
            "num_key_value_heads": recipe.heads,
            "max_position_embeddings": 4096,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "tie_word_embeddings": False,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[32, 32]],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )
    torch.manual_seed(recipe.seed)
    model = LlavaOnevisionForConditionalGeneration(config)
    _initialise(model)
    return model


def _initialise(model: torch.nn.Module) -> None:
    """transformers' standard deviation of 0.02 is made for wide layers; at these widths training stalls with it."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            scale = (
                0.4 if name.endswith(("o_proj", "out_proj", "down_proj", "fc2")) else 0.5 if "lm_head" in name else 1
            )
            torch.nn.init.normal_(module.weight, std=scale / math.sqrt(module.in_features))
        elif isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=1 / math.sqrt(module.weight[0].numel()))
        elif isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=0.2 if "position" in name else 0.5)


def save_encoders(model: Any, processor: Any, folder: Path) -> None:
    """The two encoders of the tiny recipes' filters, as sentence-transformers loads them.

    `visual_encoder` is the trained vision tower by itself. `text_encoder` is a bag of words: a vector of its own for
    every word that carries meaning in the world, nothing for the others.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from transformers import SiglipImageProcessor

    video = processor.video_processor
    images = SiglipImageProcessor(
        size=dict(video.size), image_mean=video.image_mean, image_std=video.image_std, resample=video.resample
    )
    model.model.vision_tower.save_pretrained(folder / "visual_encoder")
    images.save_pretrained(folder / "visual_encoder")
    tokenizer = processor.tokenizer
    words = [word for values in ATTRIBUTES for word in values]
    weights = np.zeros((len(tokenizer), len(words)), np.float32)
    weights[tokenizer.convert_tokens_to_ids(["▁" + word for word in words]), np.arange(len(words))] = 1
    static = StaticEmbedding(tokenizer.backend_tokenizer, embedding_weights=weights)
    SentenceTransformer(modules=[static]).save(str(folder / "text_encoder"), create_model_card=False)
