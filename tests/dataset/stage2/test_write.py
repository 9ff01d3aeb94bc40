"""Stage 2: questions that need several scenes, answers that miss some of them, and what is refused on the way."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset
from scipy.stats import binomtest
from support.scribe import Scribe, content, run

from longvpo.clips.filters import Refusal
from longvpo.clips.rows import Scene, features
from longvpo.dataset.drafts import Asked, agree
from longvpo.dataset.outcome import Outcome
from longvpo.dataset.replies import ScenesQuestion, parse_right, parse_scenes_question
from longvpo.dataset.run import build
from longvpo.dataset.session import Session
from longvpo.dataset.stage2.rounds import plan_round
from longvpo.dataset.stage2.write import Reasoning, draw_outside, parts, write
from longvpo.errors import LongVPOError
from longvpo.models.journal import Journal
from longvpo.models.writer import Answer, Request
from longvpo.recipe.dataset import DatasetRecipe, Stage2Section
from longvpo.recipe.file import load_recipe
from longvpo.recipe.prompts import TASKS


def said(**values: Any) -> str:
    written = {"question": "Who?", "answer_type": "phrase", "trace": "Scene #2 and Scene #4.", "scenes": [2, 4]}
    return json.dumps(written | values)


@pytest.mark.parametrize(
    ("text", "filter"),
    [
        ("I cannot.", "form"),
        (said(question=3), "form"),
        (said(question=" "), "form"),
        (said(scenes="2, 4"), "form"),
        (said(scenes=[2]), "too_few_scenes"),
        (said(scenes=[2, 2, "2"]), "too_few_scenes"),
        (said(scenes=[]), "too_few_scenes"),
        (said(scenes=[2, None, {}]), "too_few_scenes"),
        (said(scenes=[2, 9]), "unknown_scene"),
        (said(scenes=[0, 2]), "unknown_scene"),
        (said(scenes=[-2, 2]), "unknown_scene"),
        (said(trace="Scene #2 shows it."), "trace"),
        (said(trace="Scene #2, Scene #4 and Scene #5."), "trace"),
        (said(trace="It is so."), "trace"),
    ],
)
def test_questions_that_are_refused(text: str, filter: str) -> None:
    refused = parse_scenes_question(text, 5, check_trace=True)
    assert isinstance(refused, Refusal)
    assert refused.filter == filter
    assert refused.reason


def test_questions_that_are_let_in() -> None:
    expected = ScenesQuestion(question="Who?", answer_type="phrase", trace="Scene #2 and Scene #4.", scenes=[2, 4])
    assert parse_scenes_question(said(), 4, True) == expected
    assert parse_scenes_question(f"Here it is:\n```json\n{said(scenes=['4', 2, 2])}\n```", 4, True) == expected
    loose = parse_scenes_question(said(trace="scene 2, then scene 3"), 4, check_trace=False)
    assert isinstance(loose, ScenesQuestion)


def test_verdicts_and_agreement() -> None:
    assert parse_right('{"reason": "no", "right": false}') is None
    for text in ('{"reason": "the same", "right": true}', "yes", '{"right": "false"}'):
        refused = parse_right(text)
        assert refused is not None
        assert refused.filter == "judge"
    assert agree("Red.", "red", 0.0, None)
    assert agree("a dog", "the dog", 0.97, 0.95)
    assert not agree("a dog", "the dog", 0.97, None)
    assert not agree("a dog", "a cat", 0.5, 0.95)


def scenes(count: int, video: str = "film") -> list[Scene]:
    """Scenes of four seconds with a caption each."""
    return [
        Scene(f"{video}#{n}", "long", video, 4.0 * n, 4.0 * n + 4, f"a caption {n}", sha256=video, scene=n + 1)
        for n in range(count)
    ]


def section(**values: Any) -> Stage2Section:
    return Stage2Section.model_validate({"sources": [{"name": "long", "folder": "x"}]} | values)


@pytest.mark.parametrize(("count", "expected"), [(5, [5]), (64, [64]), (65, [32, 33]), (200, [50, 50, 50, 50])])
def test_a_long_video_is_asked_about_part_by_part(count: int, expected: list[int]) -> None:
    found = parts(scenes(count), section(max_scenes=64))
    assert sorted(map(len, found)) == expected
    assert [scene for part in found for scene in part] == scenes(count)


def test_tasks_are_balanced_and_videos_take_turns() -> None:
    made = section(triplets=60, questions=4, tasks={"order": 1, "count": 2, "cause": 0})
    outcome = Outcome(2, videos={0: [scenes(8, "a")], 1: [scenes(4, "b1"), scenes(4, "b2")], 2: [scenes(9, "c")]})
    session = Session(load_recipe(DatasetRecipe, "tiny/dataset"), None, None, None, None, None, None)  # type: ignore[arg-type]
    drafts = plan_round(session, made, [0, 1, 2], 12, 100, outcome)
    assert Counter(draft.task for draft in drafts) == {"count": 8, "order": 4}
    assert outcome.tried == {"count": 8, "order": 4}
    assert list(Counter(draft.part[0].video for draft in drafts).values()) == [3, 3, 3, 3]
    assert [draft.number for draft in drafts] == list(range(100, 112))
    # what was dropped is asked for again: of 8 and 4, all of `count` and none of `order` were let in
    outcome.triplets = [draft.reasoned(_named(session)) for draft in drafts if draft.task == "count"]
    more = plan_round(session, made, [0, 1, 2], 6, 112, outcome)
    assert Counter(draft.task for draft in more) == {"order": 5, "count": 1}
    assert plan_round(session, made, [], 6, 118, outcome) == []


def _named(session: Session) -> Session:
    session.writer = session.question_writer = Scribe(Path("unused"))
    return session


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rejected_answers_miss_scenes_or_see_others(share: float) -> None:
    made, kinds, sizes = section(partial=share), Counter[str](), Counter[int]()
    for number in range(600):
        draft = Reasoning(number, 0, scenes(10), "order", relevant=[1, 4, 7])
        kind, places = draw_outside(draft, made, seed=3)
        kinds[kind] += 1
        assert places == sorted(set(places))
        if kind == "partial":
            sizes[len(places)] += 1
            assert set(places) < {1, 4, 7}
        else:
            assert len(places) == 3
            assert not set(places) & {1, 4, 7}
    assert binomtest(kinds["partial"], 600, share).pvalue > 0.001
    if share:
        assert binomtest(sizes[1], sizes.total(), 0.5).pvalue > 0.001, "one scene as often as two"
    everything = Reasoning(0, 0, scenes(3), "order", relevant=[0, 1, 2])
    assert draw_outside(everything, section(partial=0), seed=3)[0] == "partial", "there is no other scene"


class Oracle(Scribe):
    """Knows which scenes answer a question: from those it says `right`, from any others what it saw."""

    def __init__(self, folder: Path, relevant: list[int], enough: list[list[int]], right: bool = False) -> None:
        super().__init__(folder / "asked")
        self.relevant, self.enough, self.right = relevant, enough, right

    def answer(self, request: Request) -> str:
        if request.schema and "scenes" in request.schema["properties"]:
            trace = " ".join(f"Scene #{number}" for number in self.relevant)
            return said(question="What is red?", trace=trace, scenes=self.relevant)
        if request.schema:
            return json.dumps({"reason": "so", "right": self.right})
        seen = [int(float(part.split()[1].split("-")[0]) / 4) + 1 for part in request.media.split(" + ")]
        return "the red ring" if any(set(enough) <= set(seen) for enough in self.enough) else f"saw {seen}"


def reasoned(tmp_path: Path, oracle: Oracle, judge: bool = True, **values: Any) -> Reasoning:
    """One draft about eight scenes, through every step."""
    recipe = load_recipe(DatasetRecipe, "tiny/dataset")
    from longvpo.models.embed import Embedder

    session = Session(
        recipe,
        oracle,
        oracle if judge else None,
        oracle,
        Embedder(recipe.filters),
        Journal(tmp_path / "journal"),
        lambda clip: np.zeros((4, 8, 8, 3), np.uint8),  # type: ignore[arg-type]
    )
    draft = Reasoning(0, 7, scenes(8), "pair")
    write([draft], Asked(), session, section(**values), Counter())
    return draft


@pytest.mark.parametrize("partial", [0, 1])
def test_a_question_that_needs_all_its_scenes(tmp_path: Path, partial: float) -> None:
    draft = reasoned(tmp_path, Oracle(tmp_path, [2, 5, 6], [[2, 5, 6]]), partial=partial)
    assert draft.refusal is None
    assert draft.chosen == "the red ring"
    assert draft.relevant == [1, 4, 5]
    numbers = [place + 1 for place in draft.outside]
    assert draft.rejected == f"saw {numbers}"
    assert set(numbers) < {2, 5, 6} if partial else len(numbers) == 3 and not set(numbers) & {2, 5, 6}
    assert draft.rejection == ("partial" if partial else "irrelevant")


def test_a_question_that_one_scene_answers(tmp_path: Path) -> None:
    draft = reasoned(tmp_path, Oracle(tmp_path, [2, 5], [[5]]))
    assert draft.refusal is not None
    assert draft.refusal.filter == "one_scene"
    assert "scene #5 alone" in draft.refusal.reason
    assert reasoned(tmp_path / "off", Oracle(tmp_path, [2, 5], [[5]]), one_scene=False).refusal is None


def test_a_question_that_cites_a_scene_it_does_not_need(tmp_path: Path) -> None:
    draft = reasoned(tmp_path, Oracle(tmp_path, [2, 5, 6], [[2, 6]]))
    assert draft.refusal is not None
    assert draft.refusal.filter == "needed"
    assert "without #5" in draft.refusal.reason
    off = reasoned(tmp_path / "off", Oracle(tmp_path, [2, 5, 6], [[2, 6]]), needed=False, partial=0)
    assert off.refusal is None


def test_a_rejected_answer_that_is_right_after_all(tmp_path: Path) -> None:
    draft = reasoned(tmp_path, Oracle(tmp_path, [2, 5], [[2, 5]], right=True))
    assert draft.refusal is not None
    assert draft.refusal.filter == "judge"
    agrees = reasoned(tmp_path / "agrees", Oracle(tmp_path, [2, 5], [[]]), one_scene=False)
    assert agrees.refusal is not None
    assert agrees.refusal.filter == "equal", "chosen and rejected agree"


def test_chosen_from_the_whole_context(tmp_path: Path) -> None:
    draft = reasoned(tmp_path, Oracle(tmp_path, [2, 5], [[1, 2, 3, 4, 5, 6, 7, 8]]), chosen="full")
    assert draft.refusal is None
    assert draft.chosen == "the red ring"
    assert "saw [2, 5]" in reasoned(tmp_path / "b", Oracle(tmp_path, [2, 5], [[1, 2, 3, 4, 5, 6, 7, 8]])).chosen


@pytest.fixture(scope="module")
def stage2_recipe(stories: Path) -> DatasetRecipe:
    overrides = ["sources=[]", "stage1=null", f"stage2.sources.0.folder={stories}", "stage2.triplets=40"]
    return load_recipe(DatasetRecipe, "tiny/dataset", overrides)


@pytest.fixture(scope="module")
def built(stage2_recipe: DatasetRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage2") / "dataset"
    build(stage2_recipe, folder)
    return folder


def test_the_built_folder(built: Path) -> None:
    """Drawn stories through cuts, captions, questions and answers of the tiny model and its question writer."""
    facts = json.loads((built / "facts.json").read_text())
    assert facts["stage1"] is None
    stage2 = facts["stage2"]
    rows = load_dataset(str(built), "stage2", split="train")
    told = load_dataset(str(built), "scenes", split="train")
    dropped = load_dataset(str(built), "dropped", split="train")
    assert rows.features == features("stage2")
    assert told.features == features("scenes")
    assert stage2["triplets"] == len(rows) == 40
    assert stage2["scenes"] == len(told)
    assert stage2["questions_tried"] == len(rows) + len(dropped)
    assert stage2["funnel"][-1]["left"] == len(rows)
    assert stage2["tasks"]["pair"]["triplets"] == 40
    assert set(stage2["rejections"]) == {"partial", "irrelevant"}
    captions = {(row["video"], row["start"]): row for row in told}
    assert all(row["writer"] == "tiny@main" and row["caption"].startswith("a ") for row in told)
    by_video = Counter(row["long_video"] for row in told)
    assert [row["scene"] for row in told] == [n for count in by_video.values() for n in range(1, count + 1)]
    for row in rows:
        assert row["question_writer"] == "tiny-questions@1"
        assert len(row["anchors"]) == 2
        context = [captions[clip["video"], clip["start"]] for clip in row["context"]]
        assert [scene["scene"] for scene in context] == row["scenes"]
        asked = [context[place]["caption"] for place in row["anchors"]]
        shapes = [caption.split()[2] for caption in asked]
        assert all(shape in row["prompt"] for shape in shapes)
        assert all(f"Scene #{place + 1}" in row["trace"] for place in row["anchors"])
        outside = [(clip["video"], clip["start"]) for clip in row["rejected_clips"]]
        relevant = [(context[place]["video"], context[place]["start"]) for place in row["anchors"]]
        if row["rejection"] == "partial":
            assert set(outside) < set(relevant)
        else:
            assert not set(outside) & set(relevant)
        # the answers follow the captions, which the same model wrote
        first, _, second = row["chosen"].split()
        assert any(first in caption for caption in asked)
        assert any(second in caption for caption in asked)
    card = (built / "README.md").read_text()
    assert "| `stage2` | 40 |" in card
    assert "`stage1`" not in card
    assert "None" not in card
    assert (built / "contact_sheet_stage2.png").stat().st_size > 5_000
    assert not (built / "contact_sheet.png").exists()


def test_both_stages_in_one_build_are_what_each_is_alone(
    built: Path, stories: Path, dataset: Path, world: Path, tmp_path: Path
) -> None:
    from support.world import SMALL

    overrides = [f"sources.0.folder={world}", *SMALL[:2], f"stage2.sources.0.folder={stories}", "stage2.triplets=40"]
    facts = build(load_recipe(DatasetRecipe, "tiny/dataset", overrides), tmp_path / "both")
    assert facts["stage1"]["triplets"] == facts["stage2"]["triplets"] == 40
    for config, alone in (("stage1", dataset), ("stage2", built), ("scenes", built), ("clips", dataset)):
        rows, others = (
            load_dataset(str(folder), config, split="train").to_list() for folder in (tmp_path / "both", alone)
        )
        assert [{k: v for k, v in row.items() if k != "recipe"} for row in rows] == [
            {k: v for k, v in row.items() if k != "recipe"} for row in others
        ]
    card = (tmp_path / "both" / "README.md").read_text()
    assert "| `stage1` | 40 |" in card
    assert "| `stage2` | 40 |" in card


def test_the_same_build_again_is_the_same(built: Path, stage2_recipe: DatasetRecipe, tmp_path: Path) -> None:
    build(stage2_recipe, tmp_path / "again")
    assert content(tmp_path / "again") == content(built)


def test_videos_that_cannot_be_used_are_data(stories: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stories"
    (folder / "videos").mkdir(parents=True)
    names = [row["file_name"] for row in map(json.loads, (stories / "metadata.jsonl").read_text().splitlines())]
    for name in names[:3]:
        (folder / name).write_bytes((stories / name).read_bytes())
    (folder / "videos" / "torn.mp4").write_bytes((stories / names[3]).read_bytes()[:2000])
    rows = [*names[:3], "videos/torn.mp4", "videos/gone.mp4"]
    (folder / "metadata.jsonl").write_text("".join(json.dumps({"file_name": name}) + "\n" for name in rows))
    overrides = ["sources=[]", "stage1=null", f"stage2.sources.0.folder={folder}", "stage2.triplets=20"]
    recipe = load_recipe(DatasetRecipe, "tiny/dataset", [*overrides, "stage2.questions=4"])
    facts = build(recipe, tmp_path / "out")
    dropped = load_dataset(str(tmp_path / "out"), "dropped", split="train").to_list()
    assert {row["id"]: row["filter"] for row in dropped if row["filter"] == "video"} == {
        "stories/videos/torn.mp4": "video",
        "stories/videos/gone.mp4": "video",
    }
    assert facts["stage2"]["videos"] == 3
    with pytest.raises(LongVPOError, match=r"none of the 5 long videos .* fewer scenes than stage2\.min_scenes"):
        build(load_recipe(DatasetRecipe, "tiny/dataset", [*overrides, "stage2.min_scenes=32"]), tmp_path / "none")


def test_no_triplet_left_says_why(stage2_recipe: DatasetRecipe, tmp_path: Path) -> None:
    class Silent(Scribe):
        def answer(self, request: Request) -> str:
            return "" if request.schema else Answer("a red ring moves left in the sand").text

    with pytest.raises(LongVPOError, match=r"left in stage 2: 200 empty; .* used 200 times of 200.*--journal"):
        build(stage2_recipe, tmp_path / "out", question_writer=Silent(tmp_path / "asked"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["stage1=null"], "`sources` and `stage1` belong together"),
        (["stage1=null", "sources=[]", "stage2=null"], "give stage1, stage2 or both"),
        (["stage2.tasks={dance: 1}"], "stage2.tasks: say under prompts.tasks what dance asks for"),
        (["stage2.tasks={pair: 0}"], "tasks need weights"),
        (["stage2.tasks={}"], "tasks need weights"),
        (["stage2.min_scenes=40"], "min_scenes is above max_scenes"),
        (["stage2.max_scenes=200"], "stage2.max_scenes is above context.frame_budget"),
        (["stage2.sources=[]"], "stage2.sources: must have one item at least"),
        (["stage2.sources.0.name=drawn"], "two sources have the same name"),
        (["stage2.sources.0.captions=table", "stage2.sources.0.scenes=null"], "leave `captions` out"),
        (["stage2.sources.0.group=film"], "with it, set `scenes: null`"),
        (["prompts.scenes_question=what?"], "scenes_question must hold {scenes}"),
        (["prompts.pair='{question} {chosen} {scenes}'"], "pair must hold {rejected}"),
        (["stage2.triplet=3"], "did you mean triplets?"),
    ],
)
def test_recipes_that_make_no_sense(overrides: list[str], said: str) -> None:
    with pytest.raises(LongVPOError) as caught:
        load_recipe(DatasetRecipe, "tiny/dataset", overrides)
    assert said in str(caught.value)


def test_every_task_is_described() -> None:
    assert set(section().tasks) == set(TASKS)


HOURS = """
import json, sys
from pathlib import Path
from longvpo.dataset.run import build
from longvpo.models.embed import Embedder
from support.scribe import Scribe, recipe

def most():  # not ru_maxrss, which begins with that of the program that started this one
    [line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024

folder = Path(sys.argv[1])
made = recipe(folder, "stage2")
made = made.model_copy(update={"video": made.video.model_copy(update={"cache_gb": 0.01})})
embedder, scribe = Embedder(made.filters), Scribe(folder / "asked")
before = most()
facts = build(made, folder / "out", writer=scribe, embedder=embedder, question_writer=scribe)
print(json.dumps({"before": before, "most": most(), "scenes": facts["stage2"]["scenes"]}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone tells a program's memory there")
def test_a_build_from_three_hours_takes_the_memory_of_one_from_ten_minutes(tmp_path: Path) -> None:
    """Cuts, recursive captions with folds, questions, answers, publishing."""
    from support.films import LENGTH, write_numbered

    growth = []
    for seconds in (600, 3 * 3600):
        folder = tmp_path / str(seconds)
        folder.mkdir()
        write_numbered(folder / "long.mp4", seconds)
        (folder / "metadata.jsonl").write_text('{"file_name": "long.mp4"}\n')
        said, errors = run(HOURS, folder).communicate(timeout=300)
        assert said, errors[-2000:]
        result = json.loads(said)
        # scenes of 20 seconds, each in parts of at most 8
        assert result["scenes"] == seconds // LENGTH * 3
        growth.append(result["most"] - result["before"])
        print(f"{seconds} s: {result['scenes']} scenes, memory {result['before']:.0f} -> {result['most']:.0f} MB")
    assert growth[1] < growth[0] + 100, "its pictures would be 1,000 MB"
