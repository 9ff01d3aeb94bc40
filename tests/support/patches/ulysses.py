"""Run in place of longvpo: steps of small models, each computed by several processes, against one alone.

Environment: ASKED, the arguments of benchmarks/ulysses.py's `compared`, as JSON; every process prints what it found.
WRONG, a folder: what two mistakes are told. LIVE, a folder: bytes that a step allocates, and the estimate.
"""

import importlib
import json
import os
import sys
from pathlib import Path

from longvpo.errors import LongVPOError
from longvpo.training.step import ulysses as cutting

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]
ulysses = importlib.import_module("ulysses")

for asked in json.loads(os.environ["ASKED"]):
    print(json.dumps(ulysses.compared(*asked)))
if "WRONG" in os.environ:
    try:  # each process has rows of its own
        rank = int(os.environ["RANK"])
        ulysses.step(ulysses.trainer_of("internvl", "plain", Path(os.environ["WRONG"]), 2), ulysses.ROWS[rank:][:1])
    except LongVPOError as error:
        print(json.dumps(str(error)))
    right = cutting.mine
    cutting.mine = lambda states, axis, group: right(states.roll(1, 1) if axis == 1 else states, axis, group)
    try:
        ulysses.trainer_of("internvl", "plain", Path(os.environ["WRONG"]), 2)
    except LongVPOError as error:
        print(json.dumps(str(error)))
if "LIVE" in os.environ:
    from support.activations import allocated

    for name, checkpointing in (("internvl", True), ("qwen3_vl", True), ("smolvlm2", False)):
        print(json.dumps([name, *allocated(name, checkpointing, Path(os.environ["LIVE"]), together=2)]))
raise SystemExit(0)
