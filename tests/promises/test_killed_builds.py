"""A build that is killed goes on, asks nothing twice, and ends with the bytes of one that was not killed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from longvpo.clips.sources import fingerprint
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError
from longvpo.io.output import claimed, place_of
from longvpo.models.journal import Journal
from longvpo.models.writer import Answer, Keep, Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe, recipe_hash
from longvpo.recipe.prompts import SCENES_QUESTION_SCHEMA

KILLS = 25

PROGRAM = """
import json, sys
from pathlib import Path
import datasets, matplotlib.pyplot, pyarrow.parquet
from kills import killed
from longvpo.dataset.run import build
from longvpo.models.embed import Embedder
from test_resume import KILLS, Scribe, recipe

world, output, asked = map(Path, sys.argv[1:4])
made = recipe(world, sys.argv[4])
embedder, scribe = Embedder(made.filters), Scribe(asked, seconds=0.1)

def start():
    build(made, output, writer=scribe, embedder=embedder, question_writer=scribe)

print(json.dumps(killed(start, output, asked, KILLS, at_the_end=5)))
"""


STAGES = {
    "stage1": ["sources.0.folder={world}", "stage1.triplets=90", "context.clips=[1, 2, 4]", "stage2=null"],
    "stage2": ["sources=[]", "stage1=null", "stage2.sources.0.folder={world}", "stage2.triplets=60"],
}


def recipe(world: Path, stage: str = "stage1") -> DatasetRecipe:
    overrides = ["video.cache_gb=0.6", "video.short_side=448", "filters.question_threshold=null"]
    if stage == "stage2":  # captions that are written from what came before, and folded
        overrides += ['prompts.scene="{before}"', "stage2.caption_tokens=40", "writer.batch_size=4"]
    return load_recipe(
        DatasetRecipe, "tiny/dataset", [*(text.format(world=world) for text in STAGES[stage]), *overrides]
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
        if request.schema == SCENES_QUESTION_SCHEMA:
            numbers = sorted(random.Random(request.seed).sample(re.findall(r"#(\d+)", request.text), 2), key=int)
            written = {"question": f"who is number {request.seed}?", "answer_type": "phrase", "scenes": numbers}
            return json.dumps(written | {"trace": " and ".join(f"Scene #{number}" for number in numbers)})
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


@pytest.mark.parametrize("stage", list(STAGES))
def test_killed_at_random_moments_and_still_the_same(stage: str, world: Path, stories: Path, tmp_path: Path) -> None:
    videos, whole = world if stage == "stage1" else stories, tmp_path / "whole"
    made = recipe(videos, stage)
    scribe = Scribe(tmp_path / "asked-whole")
    facts = build(made, whole, writer=scribe, question_writer=scribe)
    expected = content(whole)
    assert {"README.md", "facts.json", "recipe.yaml"} < set(expected)
    if stage == "stage1":
        assert len(list((whole / "work" / "blocks").iterdir())) >= 5
    else:
        assert facts["stage2"]["folds"] >= 5
        assert facts["stage2"]["videos"] == 6

    killed = run(PROGRAM, videos, tmp_path / "killed", tmp_path / "asked-killed", stage)
    output, errors = killed.communicate(timeout=300)
    assert output, errors[-2000:]
    result = json.loads(output)
    print(result)
    assert result["kills"] == KILLS
    assert result["code"] == 0
    assert content(tmp_path / "killed") == expected

    # nothing that was answered is asked again: what is asked twice was in a batch that a kill cut short
    once, again = (Counter((tmp_path / name).read_text().splitlines()) for name in ("asked-whole", "asked-killed"))
    assert set(once) == set(again)
    assert again.total() - once.total() <= 4 * KILLS
    assert len(list((tmp_path / "killed/work/journal").iterdir())) > 10, "most runs had asked something when they died"


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
        claimed(place_of(tmp_path / "out", inside=True), key, recipe_hash(made), keep=True),
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
