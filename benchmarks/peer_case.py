"""The case on which training steps are compared with those of peers, the meter of a step, and a peer's environment.

    python benchmarks/peer_case.py case FOLDER [--frames 64]
    python benchmarks/peer_case.py environment [FOLDER]

The case is a folder. `model` is a small Qwen2.5-VL of random weights with the real number of token ids, and its
processor. transformers loads it as it is. Beside it are `video.mp4` and `rows.jsonl`. Each line of `rows.jsonl` has a
prompt, a chosen and a rejected answer. Peers import this file in their own environments, so it needs only the standard
library until it writes a case.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import gc
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

# Two frames of 112 x 112 pixels become 8 x 8 patches, and four of these become one token: 8 tokens per frame.
SIDE, FPS, TOKENS_PER_FRAME = 112, 2, 8
WARM_UP, STEPS = 1, 3
RANK, ALPHA = 16, 32  # for LoRA on all linear layers of the language model

# The real ids: ms-swift has those of the pads in its code, and drops a video that is marked with others.
FIRST_SPECIAL, TOKEN_IDS = 151_643, 151_936
SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
CHAT = """\
{% for message in messages %}{% if loop.first and message.role != 'system' %}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}\
{% if part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}\
{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
ROWS = (
    (
        "What does the cook do after the onions are in the pan?",
        "He stirs the onions with a wooden spoon, and then he adds garlic and salt. "
        "When they are golden he takes the pan off the fire, and pours in a cup of water from the blue jug.",
        "She washes a red car in front of the house while it rains. "
        "Then she dries the windows with a cloth, opens the door, and puts the bucket and the brush in the back.",
    ),
    (
        "Who comes into the room when the music stops?",
        "Two children with paper hats come in, and the older one carries a cake. "
        "They walk around the table once, and the smaller child blows out a candle before anyone can sing.",
        "Nobody comes in; the room stays empty until the lights go out at the end. "
        "Only a cat sleeps on the chair next to the window, and the curtain moves a little in the wind.",
    ),
    (
        "How does the dog get across the river?",
        "It swims next to the boat, and then it shakes off the water on the bank. "
        "A girl throws it a stick, and the dog runs up the path to the house with the stick in its mouth.",
        "It waits at the bridge, and a man in a blue coat carries it across. "
        "On the other side they sit down under a tree, and the man reads a newspaper until it gets dark.",
    ),
    (
        "Which tool is used on the bicycle first?",
        "A small wrench is used first, to loosen the nuts of the front wheel. "
        "After that the mechanic takes the tire off with two levers, and holds the tube under water to find the hole.",
        "The mechanic takes a hammer first, and hits the saddle until it is level. "
        "Then he paints the frame green with a brush, and hangs the bicycle on the wall of the shop to dry.",
    ),
)

# What pip installs for ms-swift, beside the torch and torchvision that run this file.
MS_SWIFT = (
    "ms-swift==4.6.0",
    "transformers==5.19.0",
    "trl==0.29.1",
    "peft==0.20.0",
    "qwen_vl_utils==0.0.14",
    "decord==0.6.0",
)
ENVIRONMENT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "longvpo" / "peers" / "ms-swift"


@dataclasses.dataclass(frozen=True)
class Case:
    folder: Path
    frames: int
    video_tokens: int  # tokens of one sequence
    fps: int = FPS

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def video(self) -> Path:
        return self.folder / "video.mp4"

    def rows(self) -> list[dict[str, str]]:
        """`prompt`, `chosen` and `rejected` of each pair; all are about the one video."""
        return [json.loads(line) for line in (self.folder / "rows.jsonl").read_text().splitlines()]


def read_case(folder: Path) -> Case:
    return Case(folder, **json.loads((folder / "case.json").read_text()))


def write_case(folder: Path, frames: int) -> Case:
    """Write the case into a folder; its bytes depend only on the number of frames."""
    from longvpo.video.frames import write_video

    case = Case(folder, frames, TOKENS_PER_FRAME * frames)
    folder.mkdir(parents=True, exist_ok=True)
    model, processor = make_model()
    model.save_pretrained(case.model)
    processor.save_pretrained(case.model)
    write_video(case.video, draw(frames), FPS)
    with (folder / "rows.jsonl").open("w") as rows:
        for prompt, chosen, rejected in ROWS:
            row = {"prompt": prompt, "chosen": chosen, "rejected": rejected, "videos": [case.video.name]}
            rows.write(json.dumps(row) + "\n")
    facts = {"frames": frames, "video_tokens": case.video_tokens, "fps": FPS}
    (folder / "case.json").write_text(json.dumps(facts) + "\n")
    return case


def draw(frames: int) -> Any:
    """A view that drifts over a texture: uint8 of shape (frames, 112, 112, 3)."""
    import numpy as np

    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (SIDE // 8, (SIDE + 2 * frames) // 8 + 1, 3), np.uint8)
    texture = np.repeat(np.repeat(texture, 8, 0), 8, 1)
    return np.stack([texture[:, 2 * step : 2 * step + SIDE] for step in range(frames)])


def make_tokenizer() -> Any:
    """A tokenizer of Qwen's kind, trained on the case's texts; ids that it has no text for hold names."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    blank = Tokenizer(models.BPE())
    blank.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=2_000, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    blank.train_from_iterator(["system\nYou are a helpful assistant.\nuser\nassistant\n", *sum(ROWS, ())], trainer)
    trained = json.loads(blank.to_str())["model"]
    vocabulary = trained["vocab"] | {f"<unused_{i}>": i for i in range(len(trained["vocab"]), FIRST_SPECIAL)}
    tokenizer = transformers.Qwen2Tokenizer(
        vocab=vocabulary,
        merges=[tuple(merge) for merge in trained["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=131_072,
        # in the order of their ids
        added_tokens_decoder={
            FIRST_SPECIAL + i: transformers.AddedToken(text, special=True, normalized=False)
            for i, text in enumerate(SPECIAL)
        },
    )
    assert tokenizer.convert_tokens_to_ids(SPECIAL) == list(range(FIRST_SPECIAL, FIRST_SPECIAL + len(SPECIAL)))
    return tokenizer


def make_model() -> tuple[Any, Any]:
    """(model, processor)."""
    import torch
    import transformers

    tokenizer = make_tokenizer()
    pixels = {"shortest_edge": SIDE * SIDE, "longest_edge": SIDE * SIDE}
    processor = transformers.Qwen2_5_VLProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(size=pixels),
        video_processor=transformers.Qwen2VLVideoProcessor(size=pixels),
        tokenizer=tokenizer,
        chat_template=CHAT,
    )
    ids = dict(zip(SPECIAL, range(FIRST_SPECIAL, TOKEN_IDS), strict=False))
    hidden, heads = 256, 4
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": TOKEN_IDS,
            "hidden_size": hidden,
            "num_hidden_layers": 4,
            "num_attention_heads": heads,
            "num_key_value_heads": 2,
            "intermediate_size": 4 * hidden,
            "max_position_embeddings": 131_072,
            "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e6},
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 128,
            "num_heads": 4,
            "intermediate_size": 256,
            "out_hidden_size": hidden,
            "window_size": SIDE,
            "fullatt_block_indexes": [3],
            "patch_size": 14,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    return transformers.Qwen2_5_VLForConditionalGeneration(config), processor


class Meter:
    """CPU seconds, seconds and peak memory of training steps, in the process that takes them. Only on Linux."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def start(self) -> None:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # memory that is free but kept would hide a part of the growth
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is used now
        self.before = self._memory_mb("VmRSS")
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        cpu, wall = time.process_time() - self.cpu, time.perf_counter() - self.wall
        self.steps.append({"cpu": cpu, "wall": wall, "peak": self._memory_mb("VmHWM") - self.before})

    def summary(self) -> dict[str, float]:
        """Medians of the steps after the first, which warms up."""
        taken = self.steps[WARM_UP:]
        assert len(taken) == STEPS, self.steps
        cpu, wall, peak = (statistics.median(step[name] for step in taken) for name in ("cpu", "wall", "peak"))
        return {"cpu_seconds": round(cpu, 3), "wall_seconds": round(wall, 3), "peak_mb": round(peak)}

    @staticmethod
    def _memory_mb(name: str) -> float:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"/proc/self/status has no {name}")


def ms_swift_environment(folder: Path = ENVIRONMENT) -> Path:
    """The Python of an environment with ms-swift, which is made on the first call: 6.5 GB, some minutes."""
    python, ready = folder / "bin" / "python", folder / "installed"
    # the same kernels on both sides; a local version such as +cpu is left to pip
    torch = [f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in ("torch", "torchvision")]
    wanted = "\n".join([*MS_SWIFT, *torch])
    if ready.exists() and ready.read_text() == wanted:
        return python
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise SystemExit(f"{folder} is not empty, and no environment: give another folder")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*install, *MS_SWIFT, *torch], check=True, stdout=sys.stderr)
    ready.write_text(wanted)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    case = commands.add_parser("case", help="write the case into a folder")
    case.add_argument("folder", type=Path)
    case.add_argument("--frames", type=int, default=64)
    environment = commands.add_parser("environment", help="make ms-swift's environment, and print its Python")
    environment.add_argument("folder", type=Path, nargs="?", default=ENVIRONMENT)
    options = parser.parse_args()
    if options.command == "case":
        print(write_case(options.folder, options.frames))
    else:
        print(ms_swift_environment(options.folder))


if __name__ == "__main__":
    main()
