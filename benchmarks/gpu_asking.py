"""What a question of an evaluation costs on one GPU: an InternVL3-8B of random weights in NF4, and long videos.

    python benchmarks/gpu_asking.py [--qwen] [--frames 64 128 256 512] [--out FILE]
    python benchmarks/gpu_asking.py --tiny          # the same on a CPU, in seconds: shows only that it runs

Nothing is downloaded; the model is that of gpu_step.py, or with --qwen a Qwen2.5-VL-7B. Frames are noise of 448 x 448.
Every case prints one line of JSON: seconds per question, the most memory that was held, what `evaluate --dry-run`
would estimate for its tokens, and `off`.

    greedy        16 tokens, as `longvpo evaluate` asks for an option's letter
    batch         the same, four questions about videos of different lengths side by side
    letters       the likeliest of four letters (`scoring.letters: likelihood`)
    likelihood    how likely two given answers are, as for held-out triplets: `off` is the largest difference of a
                  log-probability, in nats, between answers scored side by side and one by one; seconds are of both
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import peer_case
import torch
from gpu_models import CUDA, built, internvl
from gpu_step import tell_to

from longvpo.models.batches import alike, prompt_inputs
from longvpo.models.likelihood import answer_log_probs, letter_log_probs
from longvpo.models.local import answer
from longvpo.models.memory import Skeleton, question_memory
from longvpo.models.rope import make_independent
from longvpo.models.windows import install
from longvpo.models.writer import Request
from longvpo.recipe.sections import ModelSection

NEW_TOKENS = 16
QUESTION = "What does the person do after the door opens?\nA. sits down\nB. leaves\nC. sings\nAnswer with the letter."
ANSWERS = ("The person sits down on the chair by the window.", "The person leaves.")


def qwen(tiny: bool) -> tuple[Any, Any]:
    """The configuration of Qwen2.5-VL-7B, or of a tiny one; its processor."""
    model, processor = peer_case.make_model()
    config, side = model.config, 112 if tiny else 448
    processor.video_processor.size = {"shortest_edge": side * side, "longest_edge": side * side}
    if not tiny:
        for name, value in {
            **{"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4},
            **{"intermediate_size": 18_944, "layer_types": ["full_attention"] * 28},
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        }.items():
            setattr(config.text_config, name, value)
        for name, value in {
            **{"depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420},
            **{"out_hidden_size": 3584, "fullatt_block_indexes": [7, 15, 23, 31]},
        }.items():
            setattr(config.vision_config, name, value)
    return config, processor


def request(frames: int, side: int) -> Request:
    def noise() -> np.ndarray:
        return np.random.default_rng(frames).integers(0, 256, (frames, side, side, 3), np.uint8)

    return Request(QUESTION, times=tuple(0.5 + np.arange(frames)), seconds=float(frames), frames=partial(noise))


def greedy(model: Any, processor: Any, requests: list[Request]) -> dict[str, Any]:
    for batch in alike(requests, len(requests), ragged=True):
        answer(model, processor, [requests[place] for place in batch], NEW_TOKENS)
    return {}


def letters(model: Any, processor: Any, requests: list[Request]) -> dict[str, Any]:
    letter_log_probs(model, processor, requests, ["ABCD"] * len(requests), len(requests))
    return {}


def likelihood(model: Any, processor: Any, requests: list[Request]) -> dict[str, Any]:
    pairs = [(one, said) for one in requests for said in ANSWERS]
    asked, said = [one for one, _ in pairs], [text for _, text in pairs]
    together, _ = answer_log_probs(model, processor, asked, said, len(pairs))
    alone = [answer_log_probs(model, processor, [one], [text], 1)[0][0] for one, text in pairs]
    return {"off": float(np.abs(together - alone).max()), "log_prob": float(together[0])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--qwen", action="store_true")
    parser.add_argument("--frames", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--seconds", type=float, default=240, help="no case begins after so many")
    parser.add_argument("--out", type=Path, help="a file that the lines are added to")
    given = parser.parse_args()
    until = time.monotonic() + given.seconds
    config, processor = qwen(given.tiny) if given.qwen else internvl(given.tiny)
    side = 112 if given.tiny else 448
    model = built(config, nf4=True)
    make_independent(model)
    install(model)
    for name in ("pad_token_id", "eos_token_id"):
        setattr(model.generation_config, name, getattr(config.text_config, name))
    base = ModelSection(model="random", dtype="bfloat16" if CUDA else "float32", quantization="nf4")
    skeleton = Skeleton(model.config)

    def estimate(requests: list[Request]) -> float:
        """Gigabytes, as for a batch of the longest."""
        longest = max(requests, key=lambda one: one.count)
        tokens = prompt_inputs(model, processor, [longest])["input_ids"].shape[1]
        pixels = sum(3 * side * side * one.count for one in requests)
        return round(question_memory(skeleton, base, tokens * len(requests), pixels)["total"] / 1e9, 2)

    tell = partial(tell_to, given.out)
    device = torch.cuda.get_device_name() if CUDA else "cpu"
    tell(device=device, torch=torch.__version__, model=type(model).__name__)
    cases = [("greedy", greedy, [frames]) for frames in given.frames]
    cases += [("batch", greedy, [frames, frames // 2, frames // 4, frames // 8]) for frames in given.frames[:1]]
    cases += [("letters", letters, [frames]) for frames in given.frames]
    cases += [("likelihood", likelihood, [frames]) for frames in given.frames[:2]]
    for name, ask, frames in cases:
        if time.monotonic() > until:
            tell(case=name, frames=frames, stopped="out of time")
            continue
        requests = [request(count, side) for count in frames]
        found = measured(partial(ask, model, processor), requests)
        tell(case=name, frames=frames, estimate_gb=estimate(requests), **found)


def measured(ask: Any, requests: list[Request]) -> dict[str, Any]:
    """Seconds per question at the second time, and memory."""
    ask(requests)
    if CUDA:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.monotonic()
    told = ask(requests)
    if CUDA:
        torch.cuda.synchronize()
    seconds = (time.monotonic() - start) / len(requests)
    peak = round(torch.cuda.max_memory_allocated() / 1e9, 2) if CUDA else None
    return {"seconds_a_question": round(seconds, 3), "peak_gb": peak, **told}


if __name__ == "__main__":
    main()
