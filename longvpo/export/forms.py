"""Rows in the forms of other tools, as their documentation has them: ms-swift 4.6, LLaMA-Factory 0.9.5, TRL 1.16 and
verl 0.9.1.

The rule: paths are relative to the folder of the export; our words that a form has no place for are left out of it.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from longvpo.export.media import Film

Form = Literal["trl", "ms-swift", "llama-factory", "verl-grpo"]
FORMS: tuple[Form, ...] = get_args(Form)
TABLES: dict[Form, str] = {
    "trl": "metadata.jsonl",
    "ms-swift": "train.jsonl",
    "llama-factory": "train.jsonl",
    "verl-grpo": "train.parquet",
}
Row = dict[str, Any]


def row_in_form(form: Form, row: Row, film: Film, number: int, config: str, pictures: bool) -> Row:
    """A triplet in a tool's form.

    Args:
        row: COLUMNS, and `id`, `task` where they are known.
        number: its number in the export.
        pictures: the film is a list of frames.
    """
    prompt, chosen, rejected = row["prompt"], row["chosen"], row["rejected"]
    videos: list[Any] = [film.paths] if pictures else film.paths
    match form:
        case "trl":
            return {
                "images_file_names": film.paths,
                "prompt": [{"role": "user", "content": prompt}],
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
            }
        case "ms-swift":
            messages = [{"role": "user", "content": f"<video>{prompt}"}, {"role": "assistant", "content": chosen}]
            return {"messages": messages, "rejected_response": rejected, "videos": videos}
        case "llama-factory":
            return {
                "conversations": [{"from": "human", "value": f"<video>{prompt}"}],
                "chosen": {"from": "gpt", "value": chosen},
                "rejected": {"from": "gpt", "value": rejected},
                "videos": videos,
            }
        case "verl-grpo":
            shown = {"video": film.paths, "sample_fps": film.rate} if pictures else {"video": film.paths[0]}
            return {
                "data_source": f"longvpo/{config}",
                "prompt": [{"role": "user", "content": f"<video>{prompt}"}],
                "videos": [shown if pictures else shown | {"fps": film.rate}],
                "ability": "video",
                "reward_model": {"style": "rule", "ground_truth": chosen},
                "extra_info": _evidence(row, film, number),
            }


def _evidence(row: Row, film: Film, number: int) -> Row:
    """What a reward can be checked by: where the answer is seen, in the whole video and in its source."""
    clips = [
        {name: clip[name] for name in ("source", "video", "start", "end")} | {"from": start, "to": end}
        for clip, (start, end) in zip(row["context"], film.spans, strict=True)
    ]
    return {
        "index": number,
        "split": "train",
        "id": row.get("id") or "",
        "task": row.get("task") or "",
        "question": row["prompt"],
        "answer": row["chosen"],
        "rejected": row["rejected"],
        "anchors": row["anchors"],
        "anchor_seconds": [list(film.spans[place]) for place in row["anchors"]],
        "seconds": film.seconds,
        "clips": clips,
    }


def parquet_columns(pictures: bool) -> Any:
    """The columns of verl's rows, as datasets.Features."""
    from datasets import Features, List, Value

    text, number, whole = Value("string"), Value("float64"), Value("int64")
    shown = {"video": List(text), "sample_fps": number} if pictures else {"video": text, "fps": number}
    clip = {"source": text, "video": text, "start": number, "end": number, "from": number, "to": number}
    evidence = {name: text for name in ("split", "id", "task", "question", "answer", "rejected")}
    evidence |= {"index": whole, "anchors": List(whole), "anchor_seconds": List(List(number)), "seconds": number}
    return Features(
        {
            "data_source": text,
            "prompt": List({"role": text, "content": text}),
            "videos": List(shown),
            "ability": text,
            "reward_model": {"style": text, "ground_truth": text},
            "extra_info": evidence | {"clips": List(clip)},
        }
    )


def dataset_info(name: str) -> Row:
    """LLaMA-Factory's description of the rows."""
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "videos": "videos"}
    about = {"file_name": TABLES["llama-factory"], "formatting": "sharegpt", "ranking": True, "columns": columns}
    return {name: about}
