"""A build that is killed goes on, asks nothing twice, and ends with the bytes of one that was not killed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from longvpo.build import build
from longvpo.errors import LongVPOError
from longvpo.folder import claimed
from longvpo.journal import Journal
from longvpo.recipe import DatasetRecipe
from longvpo.recipe_file import load_recipe, recipe_hash
from longvpo.sources import fingerprint
from longvpo.writer import Answer, Keep, Request

KILLS = 25

# builds in processes of their own, forked from one that has loaded everything, and killed after random times; the
# last ones are killed when the finished files are on their way into their places
PROGRAM = """
import json, os, random, signal, sys, time
from pathlib import Path
import datasets, matplotlib.pyplot, pyarrow.parquet, tqdm
tqdm.tqdm.monitor_interval = 0  # its thread's lock must not be taken while a process is forked
from longvpo.build import build
from longvpo.similarity import Embedder
from test_resume import KILLS, Scribe, recipe

world, output, asked = map(Path, sys.argv[1:4])
made = recipe(world)
embedder = Embedder(made.filters)
draw = random.Random(0)
states = []

def start():
    child = os.fork()
    if child:
        return child
    build(made, output, writer=Scribe(asked, seconds=0.25), embedder=embedder)
    os._exit(0)

def alive(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

while len(states) < KILLS:
    child = start()
    if len(states) < KILLS - 5:
        time.sleep(draw.uniform(0, 1.2))
    else:
        while alive(child) and not (output / "work" / "final").is_dir():
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.3))
    if not alive(child):
        break
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    states.append(sorted(str(path.relative_to(output)) for path in output.rglob("*")))
child = start()
code = os.waitpid(child, 0)[1]
print(json.dumps({"kills": len(states), "states": len(set(map(str, states))), "code": code}))
"""


def recipe(world: Path) -> DatasetRecipe:
    return load_recipe(
        DatasetRecipe,
        "tiny/dataset",
        [
            f"sources.0.folder={world}",
            "stage1.triplets=90",
            "context.clips=[1, 2, 4]",
            "video.cache_gb=0.6",
            "filters.question_threshold=null",
        ],
    )


class Scribe:
    """Writes down what it is asked, before it answers. Answers depend on the request alone."""

    name = "scribe@1"

    def __init__(self, asked: Path, seconds: float = 0.0) -> None:
        self.asked, self.seconds = asked, seconds
        self.settings: dict[str, object] = {}

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return [list(range(i, min(i + 4, len(requests)))) for i in range(0, len(requests), 4)]

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number, batch in enumerate(batches):
            time.sleep(self.seconds)
            with self.asked.open("a") as file:
                file.writelines(f"{request.seed} {request.text}\n" for request in batch)
            keep(number, [Answer(self.answer(request)) for request in batch])

    def answer(self, request: Request) -> str:
        if request.text.startswith("caption:"):
            thing = request.text.split()[1:4]
            return f"Question: where is the {thing[2]} number {request.seed}? Answer: {' '.join(thing)}"
        digest = hashlib.sha256(f"{request.text} {request.media} {request.seed}".encode()).hexdigest()
        return f"at {digest[:6]}"


def content(output: Path) -> dict[str, str]:
    """sha256 of every file of a finished build, but for its work."""
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and "work" not in path.relative_to(output).parts
    }


def run(program: str, *arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_killed_at_random_moments_and_still_the_same(world: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    build(recipe(world), whole, writer=Scribe(tmp_path / "asked-whole"))
    expected = content(whole)
    assert {"README.md", "facts.json", "recipe.yaml", "contact_sheet.png"} < set(expected)
    assert len(list((whole / "work" / "blocks").iterdir())) >= 5

    output, errors = run(PROGRAM, world, tmp_path / "killed", tmp_path / "asked-killed").communicate(timeout=300)
    assert output, errors[-2000:]
    result = json.loads(output)
    print(result)
    assert result["kills"] == KILLS
    assert result["states"] > 10, "the kills came at different moments"
    assert result["code"] == 0
    assert content(tmp_path / "killed") == expected

    # nothing that was answered is asked again: what is asked twice was in a batch that a kill cut short
    once, again = (Counter((tmp_path / name).read_text().splitlines()) for name in ("asked-whole", "asked-killed"))
    assert set(once) == set(again)
    assert again.total() - once.total() <= 4 * KILLS


def test_a_second_build_asks_nothing_and_another_recipe_is_refused(world: Path, tmp_path: Path) -> None:
    first = recipe(world)
    build(first, tmp_path / "one", writer=Scribe(tmp_path / "asked"), journal=tmp_path / "journal")
    asked = (tmp_path / "asked").read_text()
    # an ablation in another folder shares the answers
    other = first.model_copy(update={"filters": first.filters.model_copy(update={"length_ratio": None})})
    build(other, tmp_path / "two", writer=Scribe(tmp_path / "asked"), journal=tmp_path / "journal")
    assert (tmp_path / "asked").read_text() == asked
    with pytest.raises(LongVPOError, match="holds a build of another recipe"):
        build(other, tmp_path / "one", writer=Scribe(tmp_path / "asked"))


def test_two_processes_do_not_work_in_one_folder(world: Path, tmp_path: Path) -> None:
    made = recipe(world)
    key = ",".join([recipe_hash(made), *(fingerprint(source) for source in made.sources)])
    with (
        claimed(tmp_path / "out", key, recipe_hash(made)),
        pytest.raises(LongVPOError, match="another process is at work"),
    ):
        build(made, tmp_path / "out", writer=Scribe(tmp_path / "asked"))


def test_a_journal_with_a_torn_line(tmp_path: Path) -> None:
    scribe, requests = Scribe(tmp_path / "asked"), [Request(f"what is {i}?", seed=i) for i in range(8)]
    journal = Journal(tmp_path / "journal")
    answers = journal.ask(scribe, requests, "x")
    assert journal.asked == 8
    file = next((tmp_path / "journal").iterdir())
    file.write_bytes(file.read_bytes()[:-20])
    again = Journal(tmp_path / "journal")
    assert again.ask(scribe, requests, "x") == answers
    assert again.asked == 4, "the batch of the torn line, and no other"
    third = Journal(tmp_path / "journal")
    assert third.ask(scribe, requests, "x") == answers
    assert third.asked == 0


@pytest.mark.parametrize(
    "change", [{"text": "other"}, {"seed": 5}, {"temperature": 0.5}, {"media": "b"}, {"times": (1.0,)}, {"schema": {}}]
)
def test_an_answer_is_found_by_all_that_decides_it(tmp_path: Path, change: dict[str, object]) -> None:
    scribe, values = Scribe(tmp_path / "asked"), {"text": "a", "media": "a"}
    Journal(tmp_path / "journal").ask(scribe, [Request(**values)], "x")  # type: ignore[arg-type]
    other = Journal(tmp_path / "journal")
    other.ask(scribe, [Request(**values), Request(**(values | change))], "x")  # type: ignore[arg-type]
    scribe.name = "scribe@2"
    other.ask(scribe, [Request(**values)], "x")  # type: ignore[arg-type]
    assert len((tmp_path / "asked").read_text().splitlines()) in (3, 4)
    assert json.loads((next((tmp_path / "journal").iterdir())).read_text().splitlines()[0])["writer"] == "scribe@1"
