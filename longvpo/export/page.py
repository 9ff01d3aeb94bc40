"""The page next to exported rows: how their tool reads them, and where their videos come from."""

from __future__ import annotations

from typing import Any

from longvpo.export.forms import Form
from longvpo.release.markdown import code

HOW: dict[Form, str] = {
    "trl": """TRL does not read videos: a row shows the frames of its context as `images`. Its texts are conversations.

```python
from datasets import load_dataset

rows = load_dataset("imagefolder", data_dir="THIS_FOLDER", split="train")
trainer = DPOTrainer(MODEL, args=DPOConfig(max_length=None), train_dataset=rows)  # from trl
```""",
    "ms-swift": """Paths are relative, so run it in this folder:

```
swift rlhf --rlhf_type dpo --model MODEL --dataset train.jsonl
```""",
    "llama-factory": """In the training's YAML:

```yaml
stage: dpo
dataset_dir: THIS_FOLDER      # leave media_dir out: it is then the same folder
dataset: NAME
```""",
    "verl-grpo": """For GRPO in verl: `data.train_files=train.parquet`, run in this folder, because paths are relative.
`reward_model` holds the chosen answer. Your own reward can check what `extra_info` holds. `anchor_seconds` says when
the answer is seen, `anchors` in which clips, by their places. `clips` has all clips with their sources.""",
}


def page(form: Form, name: str, facts: dict[str, Any], sources: list[dict[str, Any]]) -> str:
    """The text of README.md.

    Args:
        facts: what the export counted.
        sources: name and licence of each source of videos, as far as the dataset says them.
    """
    media = facts["media"]
    lines = [
        f"# {facts['rows']} preference pairs for {form}",
        "",
        f"Exported from {code(facts['dataset'])}, config {code(facts['config'])}, by `longvpo export`.",
        f"{media['files']} {media['kind']} are next to the rows; paths are relative to this folder.",
        "",
        HOW[form].replace("NAME", name),
        "",
        "## Videos",
        "",
        "An export stays on your machine. To pass it on, you need the right to pass on the videos.",
        "",
        "| source | licence |",
        "|---|---|",
        *(f"| {code(one['name'])} | {code(one['license'])} |" for one in sources),
    ]
    return "\n".join(lines) + "\n"
