"""Imports go one way, and the command line answers before torch is loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "longvpo"

# a module may import those of earlier lines alone
LAYERS = [
    ["errors", "prompts", "replies", "printing", "private", "temporary"],
    ["home", "yaml_text", "json_text", "plain_text"],
    ["stored", "checked_rows"],
    ["disk", "folder", "triplet", "sections", "retry", "licenses", "cells", "names", "weights"],
    ["records"],
    ["output", "recipe", "claims", "shards", "provenance", "target", "address", "readers"],
    ["recipe_file", "cards", "filters", "fetch", "tables", "manifest", "leaks"],
    ["hub", "card_file", "arguments", "checkpoints", "watching"],
    ["container"],
    ["probe"],
    ["decoders"],
    ["video"],
    ["model", "scenes", "figures", "contexts"],
    ["memory", "similarity", "sources", "writer", "collator", "processes", "merged", "contents", "outside"],
    ["parameters"],
    ["journal", "chat", "pool", "blocks", "longvideos", "tiny.world", "vision", "release"],
    ["packing", "cost", "scoring"],
    ["studio", "trainer", "rows", "tiny.stories", "tiny.questions"],
    ["endpoint", "stage1", "captions", "reference"],
    ["assemble", "stage2", "text_only"],
    ["stage1_rounds", "stage2_rounds"],
    ["facts"],
    ["build", "dry_run", "multi", "train"],
    ["evaluate", "scored"],
    ["tiny.tasks", "demo"],
    ["tiny.architecture"],
    ["tiny.base"],
    ["cli"],
    ["__main__"],
]


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "longvpo":
            name = node.module.removeprefix("longvpo").removeprefix(".")
            found |= {name} if name else {alias.name for alias in node.names}
    return found


def test_imports_go_one_way() -> None:
    rank = {name: index for index, layer in enumerate(LAYERS) for name in layer}
    modules = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert set(modules) == set(rank), "a module is missing from LAYERS, or one there is gone"
    wrong = [
        f"{name} imports {other}"
        for name, path in modules.items()
        for other in imports(path)
        if rank[other] >= rank[name]
    ]
    assert wrong == []


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
    for _ in range(3):  # the machine may be busy: the quickest counts
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        seconds.append(time.monotonic() - started)
        assert done.returncode == 0, done.stderr
        assert "build-dataset" in done.stdout
    assert min(seconds) < 1.0
