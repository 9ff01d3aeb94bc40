"""Three triplets over drawn clips, exported; and readers that take nothing but what a tool documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datasets import load_dataset
from support.triplets import rows_of, write_dataset

from longvpo.export.forms import Form
from longvpo.export.run import export


def exported(form: Form, folder: Path, world: Path, **options: Any) -> Path:
    """An export of rows of stage 1 whose contexts have one to three clips of four frames."""
    dataset = folder / "triplets"
    if not dataset.is_dir():
        write_dataset(dataset, stage1=rows_of("stage1", 3, 3))
    output = folder / f"{form}-{len(options)}"
    export(str(dataset), form, output, videos={"drawn": world, "stories": world}, **options)
    return output


def read_rows(folder: Path) -> list[dict[str, Any]]:
    table = folder / "train.parquet"
    if table.is_file():
        rows: list[dict[str, Any]] = load_dataset("parquet", data_files=str(table), split="train").to_list()
        return rows
    path = next(folder.glob("*.jsonl"))
    return [json.loads(line) for line in path.read_text().splitlines()]


def film_of(folder: Path, videos: list[Any]) -> list[Path]:
    """The files of a row's one video: an mp4, or its frames."""
    (video,) = videos
    names = video if isinstance(video, list) else [video]
    assert all(not Path(name).is_absolute() and ".." not in Path(name).parts for name in names)
    return [folder / name for name in names]


def ms_swift(row: dict[str, Any], folder: Path) -> tuple[str, str, str, list[Path]]:
    """As ms-swift 4.6 documents it in Custom-dataset.md, under RLHF: DPO, and Multimodal."""
    assert row.keys() == {"messages", "rejected_response", "videos"}
    user, assistant = row["messages"]
    assert (user["role"], assistant["role"], user["content"].count("<video>")) == ("user", "assistant", 1)
    assert row["rejected_response"] != assistant["content"], "it refuses such a row"
    question = user["content"].removeprefix("<video>")
    return question, assistant["content"], row["rejected_response"], film_of(folder, row["videos"])


def llama_factory(row: dict[str, Any], folder: Path) -> tuple[str, str, str, list[Path]]:
    """As LLaMA-Factory 0.9.5 documents it in data/README.md, sharegpt format, preference dataset; and reads it in
    data/parser.py and data/converter.py."""
    ((_, about),) = json.loads((folder / "dataset_info.json").read_text()).items()
    assert about.keys() == {"file_name", "formatting", "ranking", "columns"}
    assert (about["formatting"], about["ranking"]) == ("sharegpt", True)
    assert (folder / about["file_name"]).is_file()
    columns = about["columns"]
    (turn,) = row[columns["messages"]]
    answers = [row[columns[name]] for name in ("chosen", "rejected")]
    assert [one["from"] for one in (turn, *answers)] == ["human", "gpt", "gpt"]
    assert turn["value"].count("<video>") == len(row[columns["videos"]]) == 1
    question = turn["value"].removeprefix("<video>")
    return question, answers[0]["value"], answers[1]["value"], film_of(folder, row[columns["videos"]])


def verl_grpo(row: dict[str, Any], folder: Path) -> tuple[str, str, str, list[Path]]:
    """As verl 0.9.1 documents it under "Prepare Data for Post-Training", and reads it in rl_dataset.py; a video is a
    dict that qwen-vl-utils 0.0.14 takes."""
    assert list(row) == ["data_source", "prompt", "videos", "ability", "reward_model", "extra_info"]
    (turn,), (video,), about = row["prompt"], row["videos"], row["extra_info"]
    assert (turn["role"], turn["content"].count("<video>"), row["reward_model"]["style"]) == ("user", 1, "rule")
    assert row["reward_model"]["ground_truth"] == about["answer"]
    assert video.keys() in ({"video", "fps"}, {"video", "sample_fps"})
    question = turn["content"].removeprefix("<video>")
    return question, about["answer"], about["rejected"], film_of(folder, [video["video"]])


def trl(row: dict[str, Any], folder: Path) -> tuple[str, str, str, list[Path]]:
    """As TRL 1.16 documents conversational preference rows, and datasets 5.2 metadata of an ImageFolder."""
    assert row.keys() == {"images_file_names", "prompt", "chosen", "rejected"}
    texts = []
    for name, role in (("prompt", "user"), ("chosen", "assistant"), ("rejected", "assistant")):
        (turn,) = row[name]
        assert turn.keys() == {"role", "content"}
        assert turn["role"] == role
        texts.append(turn["content"])
    prompt, chosen, rejected = texts
    return prompt, chosen, rejected, film_of(folder, [row["images_file_names"]])
