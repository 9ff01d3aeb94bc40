"""Files beside a result that were damaged or changed: one line that names the file and what makes it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file
from support.commands import Capture, check_mistake, run
from support.world import GOLDEN

from longvpo.errors import LongVPOError
from longvpo.io.files import RELEASE, as_json, as_yaml
from longvpo.io.records import Record, read_record
from longvpo.io.weights import ADAPTER_WEIGHTS
from longvpo.release.card_file import write_card
from longvpo.release.cards import FILES, kind_of, read_results
from longvpo.release.provenance import found_at
from longvpo.release.push import push_folder
from longvpo.training.merge import merge

DAMAGED = {
    "empty": b"",
    "cut": b'{"name": "longvpo-tiny", "sta',
    "a list": b"[1, 2]",
    "nothing": b"null",
    "a word": b'"name"',
    "zeros": b"\0" * 4096,
    "latin-1": b'{"name": "caf\xe9"}',
    "nested": b"[" * 400,
    "of another program": b'{"model_type": "llama"}',
}
OTHERS = (None, [5])


@pytest.fixture(params=["dataset", "adapter"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / request.param, tmp_path / "result"))


def one_line(file: Path, call: Callable[[], Any]) -> str:
    with pytest.raises(LongVPOError) as error:
        call()
    said = str(error.value)
    assert str(file) in said
    return said


def refusal(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except LongVPOError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_files(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    for call in (lambda: write_card(folder), lambda: push_folder(folder, "x", "v1", None, None, (), None)):
        assert f"make {folder} again with another --output" in one_line(folder / name, call)
    assert "--journal" not in one_line(folder / name, lambda: write_card(folder))
    (folder / "work" / "journal").mkdir(parents=True)
    assert f"--journal {folder}/work/journal" in one_line(folder / name, lambda: write_card(folder))


def changes(values: dict[str, Any], depth: int = 3) -> Iterator[dict[str, Any]]:
    """The values with every key of the first levels gone, and with other things at its place."""
    for key, value in values.items():
        yield {other: one for other, one in values.items() if other != key}
        yield from (values | {key: other} for other in OTHERS)
        if isinstance(value, dict) and depth > 1:
            yield from (values | {key: changed} for changed in changes(value, depth - 1))


@pytest.mark.parametrize("name", FILES)
def test_whatever_is_in_there_is_a_card_or_one_line(folder: Path, name: str) -> None:
    text = (folder / name).read_text()
    values = yaml.safe_load(text) if name == "recipe.yaml" else json.loads(text)
    refused = 0
    for changed in changes(values, 1):
        (folder / name).write_text(as_json(changed))
        said = refusal(lambda: write_card(folder))
        assert said is None or name in said or "results.json is of other adapters" in said
        refused += said is not None
    assert refused > len(values) / 4


def test_results_of_another_program_and_of_another_adapter(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "adapter", tmp_path / "adapter"))
    facts = read_record(folder / "facts.json")
    given = tmp_path / "results"
    given.mkdir()
    shutil.move(folder / "results.json", given / "results.json")
    results = json.loads((given / "results.json").read_text())
    file = given / "results.json"
    contents = [*DAMAGED.values(), *(json.dumps(changed).encode() for changed in changes(results, 1))]
    refused = 0
    for content in contents:
        file.write_bytes(content)
        said = refusal(lambda: read_results(file, facts))
        assert said is None or (str(file) in said and "evaluate" in said)
        refused += said is not None
    assert refused > len(contents) / 3
    file.write_text("{}")
    said = one_line(file, lambda: push_folder(folder, "x", "v1", None, None, [given], None))
    assert "has no adapters: it is another program's, or another version's; evaluate again" in said


@pytest.mark.parametrize("name", ["trainer_state.json", "adapter_config.json"])
def test_files_that_a_release_takes_along(tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(GOLDEN / "adapter", tmp_path / "adapter"))
    for content in (b"", b"[]", b"\xff"):
        (folder / name).write_bytes(content)
        assert "train again" in one_line(folder / name, lambda: push_folder(folder, "x", "v1", None, None, (), None))


def test_parquet_files(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "dataset", tmp_path / "result"))
    triplets = read_record(folder / "facts.json")["stage1"]["triplets"]
    (file,) = (folder / "stage1").glob("*.parquet")
    whole = file.read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
    for content in (b"", whole[:-100], whole[100:], pointer, b"PAR1" + b"\0" * 40 + b"PAR1"):
        file.write_bytes(content)
        for call in (lambda: write_card(folder), lambda: push_folder(folder, "x", "v1", None, None, (), None)):
            said = one_line(file, call)
            assert "is damaged: it is not parquet" in said
            assert f"make {folder} again" in said
    shutil.rmtree(folder / "stage1")
    assert f"holds 0 rows, and facts.json counts {triplets}" in one_line(folder / "stage1", lambda: write_card(folder))
    shutil.copytree(folder / "clips", folder / "stage1")
    assert f"and facts.json counts {triplets}" in one_line(folder / "stage1", lambda: write_card(folder))


def test_a_release_that_is_named_by_what_was_made_of_it(tmp_path: Path) -> None:
    file = tmp_path / RELEASE
    for content in (b"", b"{}", b"[]", b'{"repo_id": "a/b"}'):
        file.write_bytes(content)
        said = one_line(file, lambda: found_at(str(tmp_path), "dataset", "main"))
        assert "delete it: the next `longvpo push` writes it again" in said


def test_training_finds_out_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    folder = Path(shutil.copytree(GOLDEN / "dataset", tmp_path / "data"))
    (folder / RELEASE).write_text("")
    code = run(monkeypatch, "train", "tiny", f"data.dataset={folder}", "--output", tmp_path / "out")
    check_mistake(code, capsys, [f"{folder / RELEASE} is damaged", "delete it: the next `longvpo push`"])
    assert not (tmp_path / "out").exists()


def test_a_merge(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "adapter", tmp_path / "adapter"))
    save_file({"weight": np.zeros(1, np.float32)}, folder / ADAPTER_WEIGHTS)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    for name, values in (
        ("facts.json", {"trained_parameters": 1}),
        ("facts.json", {"trained_parameters": 1, "base": [1]}),
        ("recipe.yaml", recipe | {"base": 5}),
        ("recipe.yaml", recipe | {"base": {"model": 5}}),
    ):
        (folder / name).write_text(as_json(values))
        assert name in one_line(folder, lambda: merge(folder, tmp_path / "merged"))
        shutil.copy(GOLDEN / "adapter" / name, folder / name)


def test_records_are_dicts_that_know_their_file(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    file.write_text('{"a": {"b": [{"c": 1}]}}')
    values = read_record(file)
    assert values == {"a": {"b": [{"c": 1}]}}
    assert json.loads(json.dumps(values)) == yaml.safe_load(as_yaml(values)) == values
    assert values.get("x") is None
    inner = values["a"]["b"][0]
    assert isinstance(inner, Record)
    with pytest.raises(LongVPOError, match=r"facts\.json has no a\.b\.x: it is another program's"):
        inner["x"]


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    folder = Path(shutil.copytree(GOLDEN / "dataset", tmp_path / "data"))
    before = (folder / "README.md").read_text()
    (folder / "recipe.yaml").write_text("")
    check_mistake(run(monkeypatch, "card", folder), capsys, [f"{folder}/recipe.yaml is damaged", "again with another"])
    assert (folder / "README.md").read_text() == before
    assert kind_of(folder) == "dataset"
