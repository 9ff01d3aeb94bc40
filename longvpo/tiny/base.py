"""Make the embedded base model: a LLaVA-OneVision of under a million parameters that understands one to three clips.

    python -m longvpo.tiny.base FOLDER          (about 8 minutes on 2 cores)

The family: LLaVA-OneVision writes one token a frame here and no text between frames, so 128 frames are 129 tokens.
InternVL, the paper's family, writes "FrameN: <img>...</img>" around every frame, about eight times as many.

Two phases. The vision tower and the projector learn the four attributes of single clips through linear heads that are
thrown away; then the language model learns to answer, describe and ask about one to three clips over the frozen tower.
Contexts longer than three clips are never shown: that is what preference training adds.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from longvpo.tiny.world import COLORS, MOTIONS, PLACES, SHAPES, Thing, questions, write_world
from longvpo.video import read_frames

FRAMES = 4  # a clip of 4 s at 1 fps
ASK = "caption: {caption}. write a question and its answer."
DESCRIBE = "describe the video."
ATTRIBUTES = (SHAPES, tuple(COLORS), tuple(PLACES), tuple(MOTIONS))


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


# ------------------------------------------------------------------------------------------------- model and processor


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
    corpus = [text for thing in _every_thing() for _, text, answer in _texts(thing) for text in (text, answer)]
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


# --------------------------------------------------------------------------------------------------------------- tasks


def _every_thing() -> list[Thing]:
    return [Thing(*values) for values in np.array(np.meshgrid(*ATTRIBUTES)).reshape(4, -1).T.tolist()]


def _texts(thing: Thing) -> list[tuple[int, str, str]]:
    """All single-clip tasks of a thing: (kind, user's text, answer)."""
    return (
        [(0, question, answer) for question, answer in questions(thing)]
        + [(1, DESCRIBE, thing.caption)]
        + [(2, ASK.format(caption=thing.caption), f"question: {q} answer: {a}") for q, a in questions(thing)]
    )


def pair_question(first: Thing, second: Thing, rng: np.random.Generator) -> tuple[str, str]:
    """A question about two clips at once; both words of the answer must be right."""
    if rng.random() < 0.5:
        return f"what color are the {first.shape} and the {second.shape}?", f"{first.color} and {second.color}"
    return f"where are the {first.shape} and the {second.shape}?", f"{first.place} and {second.place}"


def short_task(
    things: list[Thing], by_shape: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[list[int], str, str]:
    """One training row: indices of one to three clips whose shapes differ, the user's text, the answer."""
    count = int(rng.choice([1, 2, 3], p=[0.4, 0.3, 0.3]))
    shapes = rng.choice(list(by_shape), size=count, replace=False)
    clips = [int(rng.choice(by_shape[shape])) for shape in shapes]
    if count == 1:
        kind = rng.choice([0, 1, 2], p=[0.4, 0.2, 0.4])
        tasks = [(text, answer) for k, text, answer in _texts(things[clips[0]]) if k == kind]
        return clips, *tasks[rng.integers(len(tasks))]
    if rng.random() < 0.4:
        first, second = rng.choice(count, size=2, replace=False)
        return clips, *pair_question(things[clips[first]], things[clips[second]], rng)
    needle = questions(things[clips[rng.integers(count)]])
    return clips, *needle[rng.integers(len(needle))]


# ------------------------------------------------------------------------------------------------------------ training


def load_world(folder: Path) -> tuple[list[Thing], np.ndarray]:
    """Read a drawn world back from its files: what each clip shows, and all its frames (clips, 16, 96, 96, 3)."""
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    things = []
    for row in rows:
        _, color, shape, _, motion, _, _, place = row["caption"].split()
        things.append(Thing(shape, color, place, motion))
    times = np.arange(16) / 4 + 0.125
    return things, np.stack([read_frames(folder / row["file_name"], times) for row in rows])


def pixels(processor: Any, frames: np.ndarray) -> torch.Tensor:
    """All frames through the processor's own video processor: float16 of shape (clips, 16, 3, 32, 32)."""
    batches = [
        processor.video_processor(list(frames[i : i + 100]), return_tensors="pt")["pixel_values_videos"].half()
        for i in range(0, len(frames), 100)
    ]
    return torch.cat(batches)


def frame_features(model: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """(clips, frames, 3, 32, 32) -> (clips, frames, hidden), the family's newline token left out."""
    return model.model.get_video_features(pixel_values.float(), return_dict=True).pooler_output[:, :-1]


def train_vision(model: Any, clips: torch.Tensor, things: list[Thing], recipe: BaseRecipe, steps: int) -> list[float]:
    """Phase one, in place. Returns the loss of every step."""
    labels = torch.tensor([[ATTRIBUTES[k].index(value) for k, value in enumerate(thing)] for thing in things])
    hidden = recipe.hidden
    still = torch.nn.ModuleList([torch.nn.Linear(hidden, len(values)) for values in ATTRIBUTES[:3]])
    moving = torch.nn.Linear(FRAMES * hidden, len(MOTIONS))
    trained = [*model.model.vision_tower.parameters(), *model.model.multi_modal_projector.parameters()]
    optimizer = torch.optim.AdamW(
        [*trained, *still.parameters(), *moving.parameters()], weight_decay=0.05, betas=(0.9, 0.98)
    )
    rng = np.random.default_rng(recipe.seed)
    losses = []
    for step in tqdm(range(steps), desc="vision", disable=None):
        _set_learning_rate(optimizer, recipe.vision_learning_rate, step, steps)
        rows = rng.integers(len(clips), size=recipe.vision_batch)
        offset = rng.integers(4)
        features = frame_features(model, clips[rows][:, offset::4])
        loss = sum(
            F.cross_entropy(head(features).flatten(0, 1), labels[rows, k].repeat_interleave(FRAMES))
            for k, head in enumerate(still)
        ) + F.cross_entropy(moving(features.flatten(1)), labels[rows, 3])
        _step(optimizer, loss, trained)
        losses.append(loss.item())
        if step % 200 == 199:
            tqdm.write(f"vision {step + 1}: loss {np.mean(losses[-200:]):.3f}")
    return losses


def train_language(
    model: Any, processor: Any, features: torch.Tensor, things: list[Thing], recipe: BaseRecipe, steps: int
) -> list[float]:
    """Phase two, in place. `features` of shape (clips, offsets, frames, hidden). Returns the loss of every step."""
    model.model.vision_tower.requires_grad_(False)
    model.model.multi_modal_projector.requires_grad_(False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.05, betas=(0.9, 0.98))
    rng = np.random.default_rng(recipe.seed + 1)
    by_shape = {shape: np.flatnonzero([thing.shape == shape for thing in things]) for shape in SHAPES}
    losses = []
    for step in tqdm(range(steps), desc="language", disable=None):
        _set_learning_rate(optimizer, recipe.language_learning_rate, step, steps)
        rows = [short_task(things, by_shape, rng) for _ in range(recipe.language_batch)]
        loss = language_loss(model, processor, features[:, rng.integers(features.shape[1])], rows)
        _step(optimizer, loss, trained)
        losses.append(loss.item())
        if step % 250 == 249:
            tqdm.write(f"language {step + 1}: loss {np.mean(losses[-250:]):.4f}")
    return losses


def row_text(processor: Any, clips: int, text: str, answer: str) -> tuple[str, str]:
    """Prompt and completion exactly as the processor expands them, for clips of FRAMES frames."""
    message = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": text}]}]
    prompt = processor.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
    return prompt.replace("<video>", "<video>" * (clips * FRAMES + 1)), answer + processor.tokenizer.eos_token


def language_loss(
    model: Any, processor: Any, features: torch.Tensor, rows: list[tuple[list[int], str, str]]
) -> torch.Tensor:
    """Cross-entropy of the answers, mean over rows' answer tokens."""
    texts = [row_text(processor, len(clips), text, answer) for clips, text, answer in rows]
    prompts = processor.tokenizer([prompt for prompt, _ in texts], add_special_tokens=False)["input_ids"]
    answers = processor.tokenizer([answer for _, answer in texts], add_special_tokens=False)["input_ids"]
    length = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    ids = torch.full((len(rows), length), processor.tokenizer.pad_token_id)
    labels = torch.full_like(ids, -100)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer)
    newline = model.model.image_newline[None]
    video = torch.cat([torch.cat([features[clips].flatten(0, 1), newline]) for clips, _, _ in rows])
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    vision = {"video": BaseModelOutputWithPooling(pooler_output=video[None])}
    return model(input_ids=ids, labels=labels, mm_encoder_outputs=vision, use_cache=False).loss


def _set_learning_rate(optimizer: torch.optim.Optimizer, peak: float, step: int, steps: int) -> None:
    """50 steps of warm-up, then a cosine to 5 %."""
    rate = peak * min(1.0, (step + 1) / 50) * (0.525 + 0.475 * math.cos(math.pi * step / steps))
    for group in optimizer.param_groups:
        group["lr"] = rate


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor, trained: list[torch.nn.Parameter]) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()


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


def main(folder: Path, recipe: BaseRecipe = BaseRecipe()) -> None:
    processor = build_processor()
    model = build_model(recipe, processor)
    with tempfile.TemporaryDirectory() as world:
        write_world(Path(world), recipe.clips, recipe.seed, "train")
        things, frames = load_world(Path(world))
    clips = pixels(processor, frames)
    train_vision(model, clips, things, recipe, recipe.vision_steps)
    with torch.no_grad():
        features = torch.stack(
            [
                torch.cat([frame_features(model, part[:, offset::4]) for part in clips.split(200)])
                for offset in range(4)
            ],
            1,
        )
    train_language(model, processor, features, things, recipe, recipe.language_steps)
    model.save_pretrained(folder / "checkpoint")
    processor.save_pretrained(folder / "checkpoint")
    (folder / "checkpoint" / "base_recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n")
    save_encoders(model, processor, folder)


if __name__ == "__main__":
    import sys

    main(Path(sys.argv[1]))
