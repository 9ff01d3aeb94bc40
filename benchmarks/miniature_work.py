"""The work of the miniature study on one seed: its base, its world, its datasets, its adapters, its answers.

Everything goes through the functions that the commands call, with recipes/tiny and overrides. What is finished is not
done again, so that a study that was killed resumes.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from miniature_arms import ARMS, BUILT, CURVE, SHORT, Arm, Size

from longvpo import TINY
from longvpo.clips.rows import features
from longvpo.clips.stored import load_rows
from longvpo.dataset.run import build
from longvpo.evaluation.run import evaluate
from longvpo.io.files import as_json, read_json, text_hash, write_text
from longvpo.io.output import whole_output
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.evaluation import EvaluateRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.training import TrainRecipe
from longvpo.release.card_file import write_card
from longvpo.release.parquet import write_shards
from longvpo.tiny.base import main as train_base
from longvpo.tiny.stories import QUESTIONS, random_story, story_rng, write_stories
from longvpo.tiny.tasks import short_task
from longvpo.tiny.world import Thing, write_world
from longvpo.training.profile import profile_training
from longvpo.training.run import train

WORLD = 1000  # is added to the seed: clips and long videos that no demo, test or base has drawn
STEPS = 10  # that are timed
ORDER = "which is first, the {} or the {}?"  # tiny/questions.py's


class Place:
    """Where everything of a seed lies, below the folder of the study."""

    def __init__(self, output: Path, size: Size, seed: int) -> None:
        self.size, self.seed = size, seed
        self.kept, self.frames = output / "kept", output / "frames"
        self.folder = output / str(seed)
        self.journal = self.folder / "journal"

    def kept_file(self, arm: str) -> Path:
        return self.kept / f"{self.seed}-{arm}.json"

    def adapter(self, arm: str) -> Path:
        return self.folder / "adapters" / arm

    def base(self, arm: Arm) -> Path:
        return self.order_base() if arm.name == "order" else self.base_folder() / "checkpoint"

    def base_folder(self) -> Path:
        """The seed's base with its encoders: the embedded one where it was trained by that very recipe."""
        recipe = self.size.base and replace(self.size.base, seed=self.seed)
        if recipe is None or asdict(recipe) == read_json(TINY / "base_recipe.json"):
            return TINY.parent
        return made(self.folder / "base", partial(train_base, recipe=recipe))

    def order_base(self) -> Path:
        """The seed's base, whose language model has learnt order questions of two to four clips beside all others."""
        recipe = replace(self.size.order, seed=self.seed)
        start = self.base_folder() / "checkpoint"
        return (
            made(self.folder / "base-order", partial(train_base, recipe=recipe, start=start, task=order_task))
            / "checkpoint"
        )

    def draw(self) -> None:
        """Clips and long videos, for training and for the test."""
        for index, split in enumerate(("train", "test")):
            clips, stories = self.size.clips[index], self.size.stories[index]
            counts = [scenes for scenes in self.size.scenes for _ in range(stories)]
            drawn = {"seed": WORLD + self.seed, "split": split}
            made(self.folder / f"clips-{split}", partial(write_world, clips=clips, **drawn))
            made(self.folder / f"stories-{split}", partial(write_stories, counts=counts, **drawn))


def made(output: Path, make: Callable[[Path], Any]) -> Path:
    """The folder, which is made where it is not there."""
    if not output.is_dir():
        with whole_output(output) as unfinished:
            make(unfinished)
    return output


def order_task(
    things: list[Thing], by_shape: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[list[int], str, str]:
    """A row that is asked which of two shapes is seen first, in two to four clips; half of the rows are the usual."""
    if rng.random() < 0.5:
        return short_task(things, by_shape, rng)
    count = int(rng.integers(2, 5))
    shapes = [str(shape) for shape in rng.choice(list(by_shape), size=count, replace=False)]
    first, second = sorted(rng.choice(count, size=2, replace=False).tolist())
    text = ORDER.format(*rng.permutation([shapes[first], shapes[second]]))
    return [int(rng.choice(by_shape[shape])) for shape in shapes], text, shapes[first]


def ask_order(stories: Path, folder: Path) -> None:
    """The long videos of a test again, with QUESTIONS questions about the order of each video."""
    shutil.copytree(stories / "videos", folder / "videos", copy_function=os.link)
    drawn = read_json(stories / "stories.json")
    lines = []
    for index, scenes in enumerate(drawn["counts"]):
        story = random_story(scenes, story_rng(drawn["seed"], drawn["split"], index), drawn["split"])
        shapes = [thing.shape for thing in story]
        once = [shape for shape, times in Counter(shapes).items() if times == 1]
        pairs = list(permutations(once, 2))
        for place in np.random.default_rng([drawn["seed"], index]).permutation(len(pairs))[:QUESTIONS].tolist():
            answer = min(pairs[place], key=shapes.index)
            row = {"file_name": f"videos/{index:05d}.mp4", "scenes": scenes}
            lines.append(row | {"question": ORDER.format(*pairs[place]), "answer": answer})
    write_text(folder / "metadata.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def built(place: Place, name: str) -> Path:
    """The dataset of this name."""
    output, size = place.folder / "datasets" / name, place.size
    if name == "anchor-first":
        return made(output, partial(put_anchor_first, built(place, "all")))
    encoders = place.base_folder()
    contexts = [clips for clips in size.contexts if name != "no-short-rows" or clips not in SHORT]
    writer = place.order_base() if name == "order" else encoders / "checkpoint"
    overrides = [
        f"name={name}",
        f"seed={place.seed}",
        f"writer.model={writer}",
        "writer.license=apache-2.0",
        f"filters.visual_model={encoders / 'visual_encoder'}",
        f"filters.text_model={encoders / 'text_encoder'}",
        f"context.clips={contexts}",
        f"stage2.max_scenes={max(size.scenes)}",
        f"stage2.triplets={size.triplets[1]}",
        f"stage2.sources.0.folder={place.folder / 'stories-train'}",
        f"video.frames={place.frames}",
        "text_only=0",
    ]
    if name == "order":
        # one scene shows one shape, and the model names it: the right one half of the time
        overrides += ["stage2.one_scene=false", "stage2.partial=1", "stage2.tasks={order: 1}"]
        overrides += ["prompts.tasks={order: order}", "stage1=null", "sources=[]"]
    else:
        overrides += [f"sources.0.folder={place.folder / 'clips-train'}", f"stage1.triplets={size.triplets[0]}"]
    if name in BUILT:
        overrides += [*BUILT[name], "stage2=null"]
    build(load_recipe(DatasetRecipe, "tiny/dataset", overrides), output, journal=place.journal)
    return output


def put_anchor_first(dataset: Path, folder: Path) -> None:
    """A dataset again, with the anchor of stage 1 in front of the others of its context, which keep their order."""
    shutil.copytree(dataset, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("work", "stage1"))
    rows = load_rows(str(dataset), "stage1", "train", None).to_list()
    for row in rows:
        anchor = row["anchors"][0]
        for name in ("context", "similarity", "specificity"):
            row[name] = [row[name][anchor], *row[name][:anchor], *row[name][anchor + 1 :]]
        row["anchors"] = [0]
    write_shards(folder / "stage1", rows, features("stage1"))
    write_card(folder)  # it names the files


def training(place: Place, arm: Arm) -> TrainRecipe:
    """The recipe of an arm's training."""
    data = [
        f"name={arm.name}",
        f"base.model={place.base(arm)}",
        "base.license=apache-2.0",
        f"data.dataset={built(place, arm.dataset)}",
        f"data.videos.drawn={place.folder / 'clips-train'}",
        f"video.frames={place.frames}",
        "vision_cache_gb=0.5",
        f"training.seed={place.seed}",
    ]
    if arm.stage == 2:
        data += [f"data.videos.stories={place.folder / 'stories-train'}"]
        data += [f"adapter={place.adapter(arm.start) if arm.start else 'null'}"]
    if arm.name in CURVE and CURVE.index(arm.name) < len(place.size.curve):
        data += [f"data.split='train[:{place.size.curve[CURVE.index(arm.name)]}]'"]
    if arm.name == "order":
        data += ["data.mix=[]"]
    return load_recipe(TrainRecipe, f"tiny/stage{arm.stage}", [*data, *arm.overrides])


def trained(place: Place, arm: Arm) -> dict[str, Any]:
    """Train an arm's adapter, and say what it took; CPU seconds are those of the whole training, on one thread."""
    recipe, output = training(place, arm), place.adapter(arm.name)
    took = output.parent / f"{arm.name}.json"
    before = time.process_time()
    facts = train(recipe, output)
    if not took.is_file():
        write_text(took, as_json({"cpu_seconds": round(time.process_time() - before, 1)}))
    said = read_json(took)
    if arm.name == "reference-full" and "steps" not in said:
        recipes = {"anchor": training(place, arm_of("stage1")), "full": recipe}
        said["steps"] = {name: profile_training(one, STEPS) for name, one in recipes.items()}
        write_text(took, as_json(said))
    return {"triplets": facts["triplets"], "trained_parameters": facts["trained_parameters"], **said}


def arm_of(name: str) -> Arm:
    return next(arm for arm in ARMS if arm.name == name)


def examined(place: Place, arms: Sequence[Arm]) -> dict[str, Any]:
    """Base and adapters of a group, asked by the product's own evaluation."""
    size, group, encoders = place.size, arms[0].group, place.base_folder()
    order = group == "order"
    stories = place.folder / "stories-test"
    if order:
        stories = made(place.folder / "stories-order", partial(ask_order, stories))
    overrides = [
        f"name={group}",
        f"seed={place.seed}",
        f"base.model={place.base(arms[0])}",
        "base.license=apache-2.0",
        f"base.quantization={'null' if group == 'plain' else 'nf4'}",
        f"filters.visual_model={encoders / 'visual_encoder'}",
        f"filters.text_model={encoders / 'text_encoder'}",
        f"source.folder={place.folder / 'clips-test'}",
        f"multi.source.folder={stories}",
        f"video.frames={place.frames}",
        f"grid.clips={[1] if order else list(size.contexts)}",
        f"grid.depths={size.depths}",
        f"grid.questions={size.questions}",
    ]
    adapters = {arm.name: place.adapter(arm.name) for arm in arms}
    output = place.folder / "results" / f"{group}-{text_hash(' '.join(adapters))[:8]}"
    return evaluate(load_recipe(EvaluateRecipe, "tiny/evaluate", overrides), output, adapters)


def run_group(output: Path, size: Size, seed: int, group: str, names: Sequence[str]) -> str:
    """Train and examine those arms of a group that are not kept yet; a file an arm is kept, and one of the base."""
    place = Place(output, size, seed)
    arms = [arm for arm in ARMS if arm.group == group and arm.name in names]
    arms = [arm for arm in arms if not place.kept_file(arm.name).is_file()]
    if not arms:
        return f"seed {seed}, {group}: kept already"
    before = time.process_time()
    place.draw()
    made_of = {arm.name: trained(place, arm) for arm in arms}
    results = examined(place, arms)
    base = {"main": "base", "plain": "base-no-nf4", "order": "base-order"}.get(group)
    for name in [*([base] if base else []), *made_of]:
        shown = "base" if name == base else name
        said = {"seed": seed, "arm": name, "needle": results["needle"][shown], "multi": results["multi"][shown]}
        said |= {"depth": results["grid"][shown], "multi_questions": results["multi_questions"]}
        said |= {"questions": {number: sum(row) for number, row in results["questions"].items()}}
        write_text(place.kept_file(name), as_json(said | made_of.get(name, {})))
    return f"seed {seed}, {group}: {', '.join(made_of)}; {time.process_time() - before:.0f} CPU seconds"
