"""What a notebook uses: the package's own names, and the notebook that is here."""

from __future__ import annotations

import inspect
import json
import pydoc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from support.world import ROOT

import longvpo

NOTEBOOK = ROOT / "docs" / "look-at-a-triplet.ipynb"
FUNCTIONS = ("ask", "build", "evaluate", "load_triplets", "score_triplets", "train")


def test_help_shows_the_functions_with_what_they_take() -> None:
    shown = pydoc.render_doc(longvpo, renderer=pydoc.plaintext)
    assert set(FUNCTIONS) <= set(dir(longvpo)) & set(longvpo.__all__)
    for name in FUNCTIONS:
        function = getattr(longvpo, name)
        first = next(iter(inspect.signature(function).parameters))
        assert re.search(rf"    {name}\(\s*{first}: ", shown)  # from Python 3.13 on, a line a parameter
        for line in inspect.getdoc(function).splitlines():  # type: ignore[union-attr]
            assert line.strip() in shown, f"{name}: {line}"


def test_the_package_alone_loads_nothing_heavy() -> None:
    code = (
        "import sys, longvpo\n"
        "assert 'load_triplets' in dir(longvpo)\n"
        "assert not {'torch', 'numpy', 'pydantic', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_function_is_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    called: list[tuple[Any, ...]] = []

    def runs(recipe: Any, output: Path, *rest: Any, **more: Any) -> dict[str, Any]:
        called.append((type(recipe).__name__, recipe.name, output, *rest, *more.values()))
        return {}

    for room, name in (("dataset", "build"), ("training", "train"), ("evaluation", "evaluate")):
        monkeypatch.setattr(f"longvpo.{room}.run.{name}", runs)
    longvpo.build("tiny", ["name=mine", "stage2=null"], journal=str(tmp_path))
    longvpo.train("tiny/stage2", output="~/adapter")
    longvpo.evaluate("tiny", ["multi=null"], tmp_path / "results", ["me/stage1@v1", tmp_path])
    assert called == [
        ("DatasetRecipe", "mine", Path("mine"), tmp_path, "local", None),
        ("TrainRecipe", "longvpo-tiny-stage2", Path.home() / "adapter"),
        (
            *("EvaluateRecipe", "longvpo-tiny-results", tmp_path / "results"),
            {"me/stage1@v1": "me/stage1@v1", tmp_path.name: str(tmp_path)},
        ),
    ]
    with pytest.raises(longvpo.LongVPOError, match="no recipe tiny/stage9"):
        longvpo.train("tiny/stage9")


def test_the_notebook_runs(tmp_path: Path) -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
    table = next(output.text for output in outputs if output.get("name") == "stdout").splitlines()
    assert table[0].split() == ["question", "chosen", "rejected", "margin", "reference", "loss"]
    assert len(table) == 9


def test_what_the_notebook_shows_is_small_and_of_no_machine() -> None:
    book = json.loads(NOTEBOOK.read_text())
    outputs = [output for cell in book["cells"] for output in cell.get("outputs", [])]
    assert len(NOTEBOOK.read_bytes()) < 60_000
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert "/home" not in json.dumps(outputs)
    assert "/work" not in json.dumps(outputs)
