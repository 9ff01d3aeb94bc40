"""Where a dataset and an adapter are published is looked up again, and only the same content counts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.commands import Capture, run

from longvpo.io.files import RELEASE, file_hash, read_json, read_yaml
from longvpo.release.provenance import found_at, published_since
from longvpo.release.staging import staged
from longvpo.release.target import Target

PUBLISHED = {"repo_id": "alice/data", "kind": "dataset", "tag": "v0.1.0", "commit": "c" * 40, "new": True}
THERE = {"repo_id": "alice/data", "revision": "v0.1.0", "commit": "c" * 40}


def written(folder: Path, **files: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, values in files.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize(("key", "named"), [("abc", True), ("abd", False), (None, False)])
def test_a_dataset_that_was_published_since(key: str | None, named: bool, tmp_path: Path) -> None:
    data = written(tmp_path / "data", provenance={"key": "abc"})
    said = found_at(str(data), "dataset", "main")
    assert said == {"folder": "data", "key": "abc"}
    assert published_since({"dataset": said}, {"data": {"dataset": str(data)}}, {}, tmp_path) == {"dataset": said}
    written(data, release=PUBLISHED, provenance={"key": key} if key else {})
    for path, beside in ((data, Path("/")), (Path("elsewhere") / "data", tmp_path)):
        found = published_since({"dataset": said}, {"data": {"dataset": str(path)}}, {}, beside)
        assert found == {"dataset": THERE if named else said}
    old = {"dataset": {"folder": "data"}}  # of before the key was kept: nothing says that it is the same
    assert published_since(old, {"data": {"dataset": str(data)}}, {}, tmp_path) == old


def test_an_adapter_is_known_by_its_weights(tmp_path: Path) -> None:
    first = written(tmp_path / "first", release=PUBLISHED)
    (first / "adapter_model.safetensors").write_bytes(b"weights")
    said, recipe = {"dataset": THERE, "adapter": {"folder": "first"}}, {"adapter": str(first)}
    facts = {"adapter_sha256": file_hash(first / "adapter_model.safetensors")}
    assert published_since(said, recipe, facts, tmp_path)["adapter"] == THERE
    assert published_since(said, recipe, {"adapter_sha256": "0" * 64}, tmp_path) == said


def test_a_release_names_base_and_dataset_where_others_find_them(
    trained: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "adapter"))
    data = Path(shutil.copytree(dataset, tmp_path / dataset.name))
    assert "a folder that is not published: `dataset`" in (folder / "README.md").read_text()
    (data / RELEASE).write_text(json.dumps(PUBLISHED))
    assert run(monkeypatch, "card", folder, "base.hub_id=someone/small") == 0
    with staged(folder, Target("model", "alice/mine", "v0.1.0")) as release:
        card = release.files["README.md"].path.read_text()
        config = read_json(release.files["adapter_config.json"].path)
        recipe = read_yaml(release.files["recipe.yaml"].path)
    assert config["base_model_name_or_path"] == recipe["base"]["model"] == "someone/small"
    assert (recipe["data"]["dataset"], recipe["data"]["revision"]) == ("alice/data", "v0.1.0")
    for line in (
        "base_model: someone/small\nbase_model_relation: adapter\ndatasets:\n- alice/data\n",
        "- base_model:adapter:someone/small\n",
        "model [`someone/small`](https://huggingface.co/someone/small).",
        'from_pretrained("someone/small", dtype="float32"',
        "| dataset | [`alice/data`](https://huggingface.co/datasets/alice/data) at `v0.1.0`, commit",
    ):
        assert line in card


def test_a_base_in_a_folder_is_no_repository_wherever_it_is_published_from(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """`models/small` lay where it was trained, and a repository of that name may be a stranger's."""
    folder = Path(shutil.copytree(trained, tmp_path / "adapter"))
    for name, change in (
        ("facts.json", {"base": read_json(folder / "facts.json")["base"] | {"folder": "small"}}),
        ("recipe.yaml", {"base": read_yaml(folder / "recipe.yaml")["base"] | {"model": "models/small"}}),
        ("adapter_config.json", {"base_model_name_or_path": "models/small"}),
    ):
        said = (read_yaml if name.endswith("yaml") else read_json)(folder / name)
        (folder / name).write_text(json.dumps(said | change))
    assert run(monkeypatch, "card", folder, "--overwrite-card") == 0
    monkeypatch.chdir(tmp_path)
    with staged(folder, Target("model", "alice/mine", "v0.1.0")) as release:
        card = release.files["README.md"].path.read_text()
        texts = [release.files[name].path.read_text() for name in ("adapter_config.json", "recipe.yaml")]
    assert "models/small" not in "".join([card, *texts])
    assert "base_model:" not in card.split("---")[1]
    assert "is not published under this name: give your own copy of it" in card
    assert "note: the base was loaded from the folder small" in capsys.readouterr().err
