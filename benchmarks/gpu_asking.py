"""What a question of an evaluation costs on one GPU: an InternVL3-8B of random weights in NF4, and long videos.

    python benchmarks/gpu_asking.py [--frames 64 128 256 512] [--out FILE]
    python benchmarks/gpu_asking.py --tiny          # the same on a CPU, in seconds: shows only that it runs

Nothing is downloaded; the model is that of gpu_step.py. Frames are noise of 448 x 448. Every case prints one line of
JSON: seconds a question, the most memory that was held, and `off`.

    greedy        16 tokens, as `longvpo evaluate` asks for an option's letter
    batch         the same, four questions about videos of different lengths side by side
    letters       the likeliest of four letters (`scoring.letters: likelihood`)
    likelihood    how likely two given answers are, as for held-out triplets: `off` is the largest difference of a
                  log-probability, in nats, between answers scored side by side and one by one; seconds are of both
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_step import CUDA, built, internvl

from longvpo.models.batches import alike
from longvpo.models.likelihood import answer_log_probs, letter_log_probs
from longvpo.models.local import answer
from longvpo.models.writer import Request

NEW_TOKENS = 16
QUESTION = "What does the person do after the door opens?\nA. sits down\nB. leaves\nC. sings\nAnswer with the letter."
ANSWERS = ("The person sits down on the chair by the window.", "The person leaves.")


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
    parser.add_argument("--frames", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--seconds", type=float, default=240, help="no case begins after so many")
    parser.add_argument("--out", type=Path, help="a file that the lines are added to")
    given = parser.parse_args()
    until = time.monotonic() + given.seconds
    config, processor = internvl(given.tiny)
    side = 112 if given.tiny else 448
    model = built(config, nf4=True)
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    first = {"device": torch.cuda.get_device_name() if CUDA else "cpu", "torch": torch.__version__}
    cases = [("greedy", greedy, [frames]) for frames in given.frames]
    cases += [("batch", greedy, [frames, frames // 2, frames // 4, frames // 8]) for frames in given.frames[:1]]
    cases += [("letters", letters, [frames]) for frames in given.frames]
    cases += [("likelihood", likelihood, [frames]) for frames in given.frames[:2]]
    for line in [first, *cases]:
        if isinstance(line, dict):
            record = line
        else:
            name, ask, frames = line
            if time.monotonic() > until:
                record = {"case": name, "frames": frames, "stopped": "out of time"}
            else:
                record = {"case": name, "frames": frames} | measured(partial(ask, model, processor), frames, side)
        print(json.dumps(record), flush=True)
        if given.out:
            with given.out.open("a") as file:
                file.write(json.dumps(record) + "\n")


def measured(ask: Any, frames: list[int], side: int) -> dict[str, Any]:
    """Seconds a question at the second time, and memory."""
    requests = [request(count, side) for count in frames]
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
