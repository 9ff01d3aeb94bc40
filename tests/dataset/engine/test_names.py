"""What `--engine` can name, and what a build in one process does not need."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import longvpo
from longvpo.dataset.engine.local import Kit
from longvpo.dataset.engine.names import check_engine, engine_of
from longvpo.dataset.engine.worker import MARK
from longvpo.errors import LongVPOError
from longvpo.recipe.dataset import DatasetRecipe


def test_engines_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("local", "ray", "ray://somewhere:10001"):
        check_engine(name)
    for wrong in ("rays", "ray://", "spark", ""):
        with pytest.raises(LongVPOError, match="give local, ray, or the address of a cluster"):
            check_engine(wrong)
    with pytest.raises(LongVPOError, match="--workers 2: give a number from 1 on, and --engine ray"):
        check_engine("local", 2)
    monkeypatch.setattr("longvpo.dataset.engine.names.find_spec", lambda _: None)
    check_engine("local")
    with pytest.raises(LongVPOError, match=r"--engine ray needs a package: pip install 'longvpo\[ray\]'$"):
        check_engine("ray")


def test_only_the_engine_imports_ray() -> None:
    """And only when it is asked for: one module opens that door, inside a function."""
    package = Path(longvpo.__file__).parent
    for path in package.rglob("*.py"):
        names = {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        }
        at_home = path.parent.name == "engine" and path.stem in ("on_ray", "crew")
        assert at_home or not {name.split(".")[0] for name in names} & {"ray"}, path
    top = {
        node.module
        for node in ast.parse((package / "dataset/engine/names.py").read_text()).body
        if isinstance(node, ast.ImportFrom)
    }
    assert not any(name and name.endswith("on_ray") for name in top)


def test_workers_of_a_killed_build_stop_where_a_build_in_one_process_begins(
    dataset_recipe: DatasetRecipe, tmp_path: Path
) -> None:
    (tmp_path / MARK).write_text("a killed one's")
    with engine_of("local", Kit(dataset_recipe, tmp_path, tmp_path / "journal"), None):
        assert not (tmp_path / MARK).exists()
