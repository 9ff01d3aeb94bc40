"""Questions, answers and captions per second that the writer on this machine gives, over clips of many lengths.

    python benchmarks/writer.py [--json] [--small]

Drawn clips are repeated to as many frames as real captioned clips have at one frame per second: log-normal, median 16,
at most 64. The embedded model writes in batches of 8, in two ways, three turns each. One way has batches of equal
numbers of frames, as families need that stack videos. The other has videos of all lengths side by side. The median of
CPU time counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from longvpo.models.local import LocalWriter
from longvpo.models.writer import Answer, Request
from longvpo.recipe.sections import WriterSection
from longvpo.tiny.tasks import ASK, DESCRIBE
from longvpo.tiny.world import draw, questions, random_thing

BATCH = 8
TURNS = 3
KINDS = ("questions", "answers", "captions")


def requests(count: int) -> dict[str, list[Request]]:
    """A question, an answer and a caption of each clip."""
    rng = np.random.default_rng(0)
    found: dict[str, list[Request]] = {kind: [] for kind in KINDS}
    for frames in np.clip(np.round(np.exp(rng.normal(np.log(16), 0.9, count))), 1, 64).astype(int).tolist():
        thing = random_thing(rng, "train")
        pictures = np.resize(draw(thing, rng), (frames, 96, 96, 3))
        texts = (ASK.format(caption=thing.caption), questions(thing)[0][0], DESCRIBE)
        for kind, text in zip(KINDS, texts, strict=True):
            found[kind].append(
                Request(
                    text,
                    seed=len(found[kind]),
                    temperature=0.0 if kind == "answers" else 1.0,
                    times=tuple(0.5 + second for second in range(frames)),
                    seconds=float(frames),
                    frames=partial(np.asarray, pictures),
                )
            )
    return found


def ask(writer: LocalWriter, asked: list[Request]) -> tuple[dict[str, Any], list[str]]:
    """What it cost, and the answers."""
    batches = writer.batches(asked)
    said: list[str] = [""] * len(asked)

    def keep(number: int, answers: list[Answer]) -> None:
        for index, one in zip(batches[number], answers, strict=True):
            said[index] = one.text

    started = time.process_time()
    writer.write([[asked[index] for index in batch] for batch in batches], keep)
    seconds = time.process_time() - started
    padded = [len(batch) * max(asked[index].count for index in batch) for batch in batches]
    frames = sum(one.count for one in asked)
    return {
        "a_second": round(len(asked) / seconds, 2),
        "requests_a_batch": round(len(asked) / len(batches), 2),
        "frames_of_the_largest_batch": max(padded),
        "padded_frames_share": round(1 - frames / sum(padded), 3),
    }, said


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--small", action="store_true", help="few clips, to see that it runs")
    options = parser.parse_args()
    section = WriterSection(model="tiny", dtype="float32", quantization=None, batch_size=BATCH, max_new_tokens=24)
    writer = LocalWriter(section)
    torch.set_num_threads(1)
    result: dict[str, Any] = {}
    for kind, asked in requests(4 if options.small else 96).items():
        ask(writer, asked[:2])  # the first call is not like the others
        turns = []
        for _ in range(1 if options.small else TURNS):
            with patch("longvpo.models.local.takes_features", lambda *_: False), patch.object(writer, "ragged", False):
                equal, before = ask(writer, asked)
            ragged, after = ask(writer, asked)
            turns.append((equal["a_second"], ragged["a_second"]))
        equal["a_second"], ragged["a_second"] = (statistics.median(side) for side in zip(*turns, strict=True))
        result[kind] = {
            "equal_counts": equal,
            "all_lengths": ragged,
            "ratio": round(ragged["a_second"] / equal["a_second"], 2),
            "same_text": round(float(np.mean([one == other for one, other in zip(before, after, strict=True)])), 3),
        }
    if options.json:
        print(json.dumps(result))
        return
    for kind, found in result.items():
        before, after = found["equal_counts"], found["all_lengths"]
        print(
            f"{kind}: {before['a_second']} a second in batches of {before['requests_a_batch']}, "
            f"{after['a_second']} in batches of {after['requests_a_batch']} ({found['ratio']}x)"
        )


if __name__ == "__main__":
    main()
