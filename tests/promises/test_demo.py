"""The acceptance run: the whole loop as a newcomer starts it, on clips that no tuning has seen.

It takes several minutes. The bars, on held-out combinations of attributes:

- after stage 1, needle accuracy at 32 clips at least 40 points above the base, one and two clips at most 3 points
  below it, and no depth of the anchor under 45 %;
- after stage 2, questions about two of 32 scenes at least 40 points above the base and 15 above stage 1, and the
  needles kept. (Stage 1 by itself carries those questions to somewhere between 40 and 75 %, so 40 points above it are
  not always there to be had.)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SEED = 20262  # used nowhere else


@pytest.mark.accept
def test_the_demo(tmp_path: Path) -> None:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("HF_", "OMP_", "TRANSFORMERS_"))
    }
    environment["HOME"] = str(tmp_path / "home")
    (tmp_path / "home").mkdir()
    command = [
        sys.executable,
        "-m",
        "longvpo",
        "demo",
        "--output",
        str(tmp_path / "demo"),
        "--seed",
        str(SEED),
        "--json",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    print(json.dumps(result))  # shown when a bar is missed

    base, stage1, stage2 = (result["needle"][name] for name in ("base", "stage1", "stage2"))
    assert list(base) == list(stage1) == list(stage2) == ["1", "2", "4", "8", "16", "32"]
    assert stage1["32"] >= base["32"] + 40
    assert stage2["32"] >= stage1["32"] - 5
    assert all(after[short] >= base[short] - 3 for after in (stage1, stage2) for short in ("1", "2"))
    assert min(result["depth32"]["stage1"]) >= 45
    multi = result["multi"]
    assert list(multi["base"]) == ["2", "4", "8", "16", "32"]
    assert min(result["multi_questions"].values()) >= 200
    assert multi["stage2"]["32"] >= multi["base"]["32"] + 40
    assert multi["stage2"]["32"] >= multi["stage1"]["32"] + 15
    assert multi["stage2"]["2"] >= multi["base"]["2"] - 3
    assert abs(np.mean(result["depth32"]["base"]) - base["32"]) < 0.1
    for name, path in result["paths"].items():
        assert Path(path).exists(), name
    # again: everything is there, nothing is done twice
    again = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert json.loads(again.stdout)["needle"] == result["needle"]
