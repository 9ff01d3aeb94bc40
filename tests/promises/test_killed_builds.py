"""A build that is killed resumes, asks nothing twice, and ends with the bytes of one that was not killed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from support.scribe import STAGES, Scribe, content, recipe, run
from support.world import TWO_SIZES

from longvpo.clips.sources import fingerprint
from longvpo.dataset.run import build
from longvpo.errors import LongVPOError
from longvpo.io.output import claimed, place_of
from longvpo.recipe.file import recipe_hash

PROGRAM = """
import json, sys
from pathlib import Path
import datasets, matplotlib.pyplot, pyarrow.parquet
from support.forked import killed
from longvpo.dataset.run import build
from longvpo.models.embed import Embedder
from support.scribe import Scribe, recipe

world, output, asked = map(Path, sys.argv[1:4])
made, kills = recipe(world, sys.argv[4]), int(sys.argv[5])
embedder, scribe = Embedder(made.filters), Scribe(asked, seconds=0.1)

def start():
    build(made, output, writer=scribe, embedder=embedder, question_writer=scribe)

print(json.dumps(killed(start, output, asked, kills, at_the_end=max(kills // 5, 2))))
"""


@TWO_SIZES
@pytest.mark.parametrize("stage", list(STAGES))
def test_killed_at_random_moments_and_still_the_same(
    stage: str, soak: bool, world: Path, stories: Path, tmp_path: Path
) -> None:
    videos, whole, kills = world if stage == "stage1" else stories, tmp_path / "whole", 25 if soak else 3
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

    killed = run(PROGRAM, videos, tmp_path / "killed", tmp_path / "asked-killed", stage, kills)
    output, errors = killed.communicate(timeout=300)
    assert output, errors[-2000:]
    result = json.loads(output)
    print(result)
    assert result["kills"] == kills
    assert result["code"] == 0
    assert content(tmp_path / "killed") == expected

    # nothing that was answered is asked again: what is asked twice was in a batch that a kill cut short
    once, again = (Counter((tmp_path / name).read_text().splitlines()) for name in ("asked-whole", "asked-killed"))
    assert set(once) == set(again)
    assert again.total() - once.total() <= 4 * kills
    runs = len(list((tmp_path / "killed/work/journal").iterdir()))
    assert runs > 0.4 * kills, "most had asked something when they died"


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
