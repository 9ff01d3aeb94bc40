"""What a release may hold: the files that longvpo makes, by their names, and a LICENSE. Nothing else is published.

The rule: a list that is closed. What lies there beside (what file managers and editors leave, notebooks, notes) and
what a link brings from elsewhere stays here, and is named.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from longvpo.errors import LongVPOError, say
from longvpo.io.files import BENCHMARKS, CARD, PROVENANCE, RELEASE, TRAINED
from longvpo.io.records import reading_parquet
from longvpo.io.weights import ADAPTER_WEIGHTS, check_weights
from longvpo.release.cards import CONFIGS, SHEETS
from longvpo.release.licenses import LICENSE
from longvpo.release.manifest import signature
from longvpo.release.parquet import SHARD, shards
from longvpo.release.spot_check import FILE as SPOT_CHECK

ALWAYS = ("facts.json", "recipe.yaml", PROVENANCE, CARD, LICENSE)
MEASURED = (
    *("trainer_state.json", "curves.png", "results.json", "heat_map.png", TRAINED),
    *(BENCHMARKS, ".eval_results/longvpo.yaml"),
)
PROCESSOR = (
    *("processor_config.json", "preprocessor_config.json", "image_processor_config.json"),
    *("video_preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model"),
    *("sentencepiece.bpe.model", "chat_template.jinja", "chat_template.json"),
)
MERGED = ("config.json", "generation_config.json", "model.safetensors.index.json")
WEIGHTS = re.compile(r"model(?:-\d{5}-of-\d{5})?\.safetensors")
TEMPLATE = re.compile(r"additional_chat_templates/[\w.-]+\.jinja")
OURS_HERE = ("work", "runs", ".cache", ".gitattributes", "CHANGELOG.md", RELEASE)  # not published, not worth a word
COPIED = 32 << 20  # bytes; what the Hub keeps outside of LFS is smaller, and is copied before it is hashed


def gather_files(folder: Path, copy: Path, kind: str) -> None:
    """Put what a release of the folder may hold into `copy`: small files as copies, large ones as links.

    Raises:
        LongVPOError: what belongs to such a release is missing or damaged.
    """
    left, home = [], folder.resolve()
    for path in sorted(folder.iterdir()):
        inside = sorted(path.iterdir()) if path.is_dir() and path.name in _folders(kind) else [path]
        for file in inside:
            name = file.relative_to(folder).as_posix()
            if path.name in OURS_HERE or path.name.endswith((".unfinished", ".lock")):
                continue
            if not _ours(name, kind) or not file.is_file() or not file.resolve().is_relative_to(home):
                left.append(name)
                continue
            (copy / name).parent.mkdir(exist_ok=True)
            if file.stat().st_size <= COPIED:
                _copy(file, copy / name)
            else:
                (copy / name).symlink_to(file.resolve())
    if left:
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        say(f"left out, as longvpo did not make it here: {', '.join(left[:5])}{more}")


def _copy(file: Path, to: Path) -> None:
    seen = signature(file)
    shutil.copyfile(file, to)
    if signature(file) != seen:
        raise LongVPOError(f"{file} is written at this moment: run the same command again when nothing writes there")


def check_dataset_files(folder: Path, copy: Path, facts: dict[str, Any]) -> None:
    """Raises LongVPOError when configs, or parts of them, are not there or cannot be read."""
    from pyarrow import parquet

    for config in CONFIGS:
        files = shards(copy / config)
        needed = any(facts.get(stage) for stage in NEEDED.get(config, ()))
        of = {int(found[2]) for path in files if (found := SHARD.fullmatch(path.name))}
        if (needed and not files) or (files and of != {len(files)}):
            raise LongVPOError(
                f"{folder / config} has not all of its rows: {len(files)} of {max(of, default=1)} files are there; "
                "build the dataset again"
            )
        for path in files:
            with reading_parquet(folder / config / path.name):
                parquet.read_metadata(path)


def check_model_files(folder: Path, copy: Path) -> None:
    """Raises LongVPOError when the weights of an adapter, or of a merged model, are not there or not whole."""
    weights = [path for path in copy.iterdir() if path.name == ADAPTER_WEIGHTS or WEIGHTS.fullmatch(path.name)]
    adapter = (copy / "adapter_config.json").is_file()
    if not weights or (adapter and not (copy / ADAPTER_WEIGHTS).is_file()):
        raise LongVPOError(
            f"{folder} has no weights of its own: {ADAPTER_WEIGHTS if adapter else 'model.safetensors'} is not there, "
            "or is a link to elsewhere; train it again"
        )
    for path in weights:
        check_weights(path, folder / path.name)


NEEDED = {"stage1": ("stage1",), "clips": ("stage1",), "stage2": ("stage2",), "scenes": ("stage2",)}  # by facts.json


def _folders(kind: str) -> tuple[str, ...]:
    return CONFIGS if kind == "dataset" else (".eval_results", "additional_chat_templates")


def _ours(name: str, kind: str) -> bool:
    if name in ALWAYS:
        return True
    if kind == "dataset":
        config, _, file = name.partition("/")
        return name in (*SHEETS.values(), SPOT_CHECK) or (config in CONFIGS and bool(SHARD.fullmatch(file)))
    known = (*MEASURED, *PROCESSOR, *MERGED, "adapter_config.json", ADAPTER_WEIGHTS)
    return name in known or bool(WEIGHTS.fullmatch(name) or TEMPLATE.fullmatch(name))
