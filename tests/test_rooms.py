"""The rooms of the package: which may import which, no circle in any, and a command line that answers at once."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

from support.world import TESTS

import longvpo

PACKAGE = Path(longvpo.__file__).parent
GROUND = "errors io"

MAY_IMPORT = {  # a room may import itself as well
    "errors": "",
    "io": "errors",
    "recipe": GROUND,
    "video": f"{GROUND} recipe",
    "release": f"{GROUND} recipe",
    "models": f"{GROUND} recipe video",
    "clips": f"{GROUND} recipe video models",
    "tiny": f"{GROUND} recipe video models",
    "training": f"{GROUND} recipe video models clips release",
    "evaluation": f"{GROUND} recipe video models clips release",
    "dataset": f"{GROUND} recipe video models clips release tiny",
    "viewer": f"{GROUND} recipe video models clips release",
    "export": f"{GROUND} recipe video models clips release",
    "cli": f"{GROUND} recipe release tiny dataset training evaluation viewer export",
}
DOORS = {"__init__", "__main__", "model"}  # names that others know: each hands on what lies in a room


def modules() -> dict[str, Path]:
    paths = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in paths.items() if name not in DOORS}


def imports(path: Path, known: set[str]) -> set[str]:
    """Modules of ours that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "longvpo" for alias in node.names), f"{path}: from ... import"
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "longvpo":
            module = node.module.removeprefix("longvpo").removeprefix(".")
            inside = {f"{module}.{alias.name}".removeprefix(".") for alias in node.names}
            found |= (inside & known) or ({module} if module else set())
    return found


def arrows() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(path, set(known)) for name, path in known.items()}


def test_every_module_has_a_room() -> None:
    assert {name.split(".")[0] for name in modules()} == set(MAY_IMPORT)
    rooms = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(rooms) <= 15, "a house of few rooms"


def test_rooms_import_only_what_they_may() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, others in arrows().items()
        for other in others
        if other.split(".")[0] not in {name.split(".")[0], *MAY_IMPORT[name.split(".")[0]].split()}
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    list(TopologicalSorter(arrows()).static_order())  # CycleError names the circle


def test_a_room_says_its_law_and_nothing_else() -> None:
    """An `__init__` that imports would load torch for `--help`."""
    for path in PACKAGE.glob("*/**/__init__.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        assert len(tree.body) == 1 or path.parent.name == "cli", path


def test_help_is_quick_and_loads_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['longvpo', '--help']\n"
        "from longvpo.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'transformers', 'datasets', 'trl', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    seconds = []
    for _ in range(3):  # of its own time, as the machine may be busy; the quickest counts
        started = os.times()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        ended = os.times()
        seconds.append(sum(ended[2:4]) - sum(started[2:4]))
        assert done.returncode == 0, done.stderr
        assert "build-dataset" in done.stdout
    assert min(seconds) < 1.0


def test_every_test_tells_what_it_tests() -> None:
    """A module by its name (`test_chat.py`, or `test_chat_schemas.py` for a part of them), or a promise."""
    known = modules()
    for path in TESTS.rglob("test_*.py"):
        room = path.parent.relative_to(TESTS).parts
        about = path.stem.removeprefix("test_").split("_")
        names = [".".join([*room, "_".join(about[:end])]) for end in range(1, len(about) + 1)]
        assert not room or room == ("promises",) or set(names) & set(known), f"{path}: no module is called so"


def test_no_file_that_people_write_is_long() -> None:
    for folder in ("longvpo", "tests", "benchmarks", "dataset_cards", "model_cards", "recipes", "docs"):
        for path in (TESTS.parent / folder).rglob("*"):
            written = path.suffix in {".py", ".jinja", ".md", ".yaml", ".sh", ".js", ".css"}
            if written and path.name != "KEYS.md" and "golden" not in path.parts:
                assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, f"{path}: split it"


def test_tests_import_helpers_and_no_tests() -> None:
    """What two tests share stands in support/, and no name of a helper is that of a test."""
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            assert not module or not module.split(".")[-1].startswith(("test_", "conftest")), f"{path}: {module}"
        assert path.name.startswith(("test_", "conftest")) or (TESTS / "support") in path.parents, path
