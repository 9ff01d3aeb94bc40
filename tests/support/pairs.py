"""Preference pairs as others write them, over sixty drawn clips of four seconds."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
from datasets import Dataset
from PIL import Image

ASKED = [("what color is the ring?", "red", "blue"), ("where is it?", "in the sea", "in the fog")]
Row = dict[str, Any]


def video(number: int) -> str:
    return f"videos/{number:05}.mp4"


def official(number: int, asked: tuple[str, str, str]) -> Row:
    question, chosen, rejected = asked
    return {
        "video": video(number),
        "task_type": "object",
        "question": question,
        "chosen": chosen,
        "rejected": rejected,
    }


def plain(number: int, asked: tuple[str, str, str]) -> Row:
    prompt, chosen, rejected = asked
    return {"video": video(number), "prompt": prompt, "chosen": chosen, "rejected": rejected}


def tpo(number: int, asked: tuple[str, str, str]) -> Row:
    """As LLaVA-Hound writes them, and LLaVA-NeXT's train_dpo.py, from which TPO trains, reads them."""
    said = plain(number, asked)
    said["prompt"] = f"<image>\n{said['prompt']}"
    return {"id": f"v_{number}", **said, "answer": said["chosen"], "chosen_score": 5, "rejected_score": 2}


def ms_swift(number: int, asked: tuple[str, str, str]) -> Row:
    prompt, chosen, rejected = asked
    messages = [{"role": "user", "content": f"<video>{prompt}"}, {"role": "assistant", "content": chosen}]
    return {"messages": messages, "videos": [video(number)], "rejected_response": rejected}


def llama_factory(number: int, asked: tuple[str, str, str]) -> Row:
    prompt, chosen, rejected = asked
    return {
        "conversations": [{"from": "human", "value": f"<video>{prompt}"}],
        "chosen": {"from": "gpt", "value": chosen},
        "rejected": {"from": "gpt", "value": rejected},
        "videos": [video(number)],
    }


def trl(number: int, asked: tuple[str, str, str]) -> Row:
    prompt, chosen, rejected = asked
    content = [{"type": "video"}, {"type": "text", "text": prompt}]
    return {
        "videos": [video(number)],
        "prompt": [{"role": "user", "content": content}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": [{"type": "text", "text": rejected}]}],
    }


SHAPES: dict[str, Callable[[int, tuple[str, str, str]], Row]] = {
    "LongVPO": official,
    "plain": plain,
    "TPO": tpo,
    "ms-swift": ms_swift,
    "LLaMA-Factory": llama_factory,
    "TRL": trl,
}


def rows_of_shape(name: str) -> list[Row]:
    return [SHAPES[name](number, asked) for number, asked in enumerate(ASKED)]


def write_rows(path: Path, rows: list[Row]) -> Path:
    """Rows in a file of the kind that its suffix says; csv writes what is not a text as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".parquet":
        Dataset.from_list(rows).to_parquet(path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(
                {name: one if isinstance(one, str) else json.dumps(one) for name, one in row.items()} for row in rows
            )
    return path


def write_frames(film: Path, folder: Path, suffix: str = ".png", every: int = 1) -> list[Path]:
    """The pictures of a film as files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with av.open(str(film)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % every == 0:
                paths.append(folder / f"{number:04}{suffix}")
                Image.fromarray(frame.to_ndarray(format="rgb24")).save(paths[-1])
    return paths
