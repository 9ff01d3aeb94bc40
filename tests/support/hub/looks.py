"""What strangers read at a tag, and whether it is whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from support.hub.pushes import Pushes, environment

from longvpo.io.files import file_hash

ALICE = "hf_alice_write_"


def stranger(pushes: Pushes, home: Path, program: str, *arguments: object, token: str | None = ALICE + "s") -> Any:
    """What a program prints as JSON, in a process with an empty cache that does not import longvpo."""
    program = f"import json, sys\n{program}\nassert not [name for name in sys.modules if 'longvpo' in name]"
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
        env=environment(pushes.address, token, home),
        capture_output=True,
        text=True,
        cwd=Path(sys.executable).parent,  # a checkout in the current folder could be imported
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


LOAD = """
from datasets import load_dataset
repo, wanted, streaming = sys.argv[1:]
read = {}
for revision, configs in json.loads(wanted).items():
    read[revision] = {}
    for config in configs:
        rows = load_dataset(repo, config, split="train", revision=revision, streaming=streaming == "True")
        names = [name for name in rows.features if name != "frames"]
        read[revision][config] = [{name: row[name] for name in names} for row in rows]
print(json.dumps(read))
"""


def error_of(said: str) -> str:
    assert "Traceback" not in said, said
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return error


def upload(api: HfApi, path: str, content: bytes, repo_id: str, kind: str = "dataset") -> None:
    api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=repo_id, repo_type=kind)


def whole(pushes: Pushes, name: str, tag: str, folder: Path) -> bool:
    """Whether the tag is there; then every file is as the release states it, and as it lies in the folder."""
    state = pushes.state().get(name)
    if state is None or tag not in state["tags"]:
        return False
    tree = state["trees"][state["tags"][tag]]
    stated = json.loads(pushes.read(name, tag, "provenance.json"))["files"]
    assert {"README.md", "CHANGELOG.md", "facts.json", "recipe.yaml"} < set(tree)
    assert {path: tree[path] for path in stated} == stated
    assert set(tree) - set(stated) == {".gitattributes", "README.md", "provenance.json", "CHANGELOG.md"}
    large = [
        path for path in folder.rglob("*") if path.suffix in (".parquet", ".safetensors") and "work" not in path.parts
    ]
    assert large
    assert {tree[str(path.relative_to(folder))] for path in large} == {file_hash(path) for path in large}
    return True
