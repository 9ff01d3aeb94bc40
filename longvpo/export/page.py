"""The page beside exported rows: how their tool reads them, and whose videos they show."""

from __future__ import annotations

from typing import Any

from longvpo.export.forms import Form
from longvpo.release.markdown import code

HOW: dict[Form, str] = {
    "trl": """TRL knows no videos: a row shows the frames of its context as `images`. Its texts are conversations.

```python
from datasets import load_dataset

rows = load_dataset("imagefolder", data_dir="THIS_FOLDER", split="train")
trainer = DPOTrainer(MODEL, args=DPOConfig(max_length=None), train_dataset=rows)  # of trl
```""",
    "ms-swift": """Paths are relative, so run it in this folder:

```
swift rlhf --rlhf_type dpo --model MODEL --dataset train.jsonl
```""",
    "llama-factory": """In the training's YAML:

```yaml
stage: dpo
dataset_dir: THIS_FOLDER      # media_dir is the same where it is left out
dataset: NAME
```""",
    "verl-grpo": """For GRPO in verl: `data.train_files=train.parquet`, run in this folder, as paths are relative.
`reward_model` holds the chosen answer. `extra_info` holds what a reward of your own can check: `anchor_seconds`, from
when to when the answer is seen; `anchors`, the places of those clips; `clips`, all of them with their sources.""",
}


def page(form: Form, name: str, facts: dict[str, Any], sources: list[dict[str, Any]]) -> str:
    """The text of README.md.

    Args:
        facts: of the export.
        sources: name and licence of each source of videos, as far as the dataset says them.
    """
    media = facts["media"]
    lines = [
        f"# {facts['rows']} preference pairs for {form}",
        "",
        f"Exported from {code(facts['dataset'])}, config {code(facts['config'])}, by `longvpo export`.",
        f"{media['files']} {media['kind']} lie beside the rows; paths are relative to this folder.",
        "",
        HOW[form].replace("NAME", name),
        "",
        "## Videos",
        "",
        "An export stays on your machine. Who passes it on needs the right to pass on the videos.",
        "",
        "| source | licence |",
        "|---|---|",
        *(f"| {code(one['name'])} | {code(one['license'])} |" for one in sources),
    ]
    return "\n".join(lines) + "\n"
