"""Small random models of other families than the tiny one, built from config with their own processors."""

from __future__ import annotations

from typing import Any

import torch


def internvl(size: int = 28) -> tuple[Any, Any]:
    """InternVL with two layers and 28-pixel frames: (model, processor)."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

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
        vocab_size=300,
        special_tokens=["<pad>", "<|im_end|>", *names.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["what color is the ring?"], trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<pad>",
        extra_special_tokens=names,
        model_max_length=100_000,
    )
    template = (
        "{% for m in messages %}{% for part in m.content %}{% if part.type == 'video' %}<video>\n"
        "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
    )
    side = {"height": size, "width": size}
    tokens = (size // 14) ** 2 // 4
    processor = transformers.InternVLProcessor(
        image_processor=transformers.GotOcr2ImageProcessor(size=side, crop_to_patches=False),
        video_processor=transformers.InternVLVideoProcessor(size=side),
        tokenizer=fast,
        image_seq_length=tokens,
        chat_template=template,
    )
    config = transformers.InternVLConfig(
        vision_config={
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "image_size": [size, size],
            "patch_size": [14, 14],
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(fast),
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 128,
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
