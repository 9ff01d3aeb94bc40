"""An evaluation that is killed resumes, asks nothing twice, and ends with the results of one that was not killed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from support.scribe import run
from support.world import TWO_SIZES

PROGRAM = """
import json, sys
from pathlib import Path
from support.forked import killed
from longvpo.evaluation.run import evaluate
from longvpo.models import local
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe

output, adapter, asked = map(Path, sys.argv[1:4])
kills, recipe = int(sys.argv[4]), load_recipe(EvaluateRecipe, "tiny", sys.argv[5:])
answer, places = local.answer, {"now": asked.with_name("whole")}

def told(model, processor, batch, *rest):
    with places["now"].open("a") as file:
        file.writelines(f"{request.media} {request.text}\\n" for request in batch)
    return answer(model, processor, batch, *rest)

def start(where=output):
    evaluate(recipe, where, {"adapter": adapter})

local.answer = told
start(output.with_name("whole-output"))
places["now"] = asked
output.mkdir()
print(json.dumps(killed(start, output, asked, kills, at_the_end=max(kills // 5, 1))))
"""


@TWO_SIZES
def test_killed_at_random_moments_and_still_the_same(
    soak: bool, test_world: Path, dataset: Path, world: Path, adapter: Path, tmp_path: Path
) -> None:
    kills, questions = (25, 40) if soak else (3, 6)
    sections = [f"source.folder={test_world}", "source.clips=12", "multi=null", "batch_size=4"]
    sections += ["grid.clips=[1, 4]", "grid.depths=2", f"grid.questions={questions}", "max_new_tokens=1"]
    sections += [f"triplets.dataset={dataset}", f"triplets.videos={{drawn: {world}}}", "triplets.rows=6"]
    killed = run(PROGRAM, tmp_path / "output", adapter, tmp_path / "asked", kills, *sections)
    said, errors = killed.communicate(timeout=300)
    assert said, errors[-2000:]
    result = json.loads(said)
    print(result)
    assert (result["kills"], result["code"]) == (kills, 0), errors[-2000:]
    assert f"answers are in {tmp_path}/output/work" in errors
    found = {
        folder: json.loads((tmp_path / folder / "results.json").read_text()) for folder in ("whole-output", "output")
    }
    for one in found.values():
        del one["seconds"]
    assert found["output"] == found["whole-output"]
    assert sum(found["output"]["cut"].values()) > 0, "what is cut counts, and is not asked again"
    for name in ("answers.jsonl", "recipe.yaml", "heat_map.png"):
        assert (tmp_path / "output" / name).read_bytes() == (tmp_path / "whole-output" / name).read_bytes()
    assert not (tmp_path / "output" / "work").exists()
    assert not (tmp_path / "whole-output.unfinished").exists()
    once, again = (Counter((tmp_path / name).read_text().splitlines()) for name in ("whole", "asked"))
    assert set(once) == set(again)
    assert again.total() - once.total() <= 4 * kills, "what is asked twice was in a batch that a kill cut short"
