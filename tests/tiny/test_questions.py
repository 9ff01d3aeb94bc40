"""The rules that write questions about the drawn world."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from support.stories import check_pair, drawn

from longvpo.clips.rows import Refusal, Scene
from longvpo.dataset.replies import ScenesQuestion, parse_scenes_question
from longvpo.dataset.stage2.captions import scene_line
from longvpo.models.journal import Journal
from longvpo.models.writer import Request, Writer
from longvpo.recipe.dataset import PromptSection
from longvpo.recipe.prompts import ANSWER_TYPES
from longvpo.tiny.questions import NOTHING, StoryQuestions
from longvpo.tiny.stories import story_questions
from longvpo.tiny.tasks import pair_question

TASKS = ("pair", "order", "before_after")


PROMPTS = PromptSection(scenes_question="task: {task}\n{scenes}", tasks={task: task for task in TASKS})


def prompt(task: str, captions: list[str]) -> str:
    """As a build asks."""
    lines = [
        scene_line(Scene(f"v#{n}", "stories", "v.mp4", 4.0 * n - 4, 4.0 * n, caption, scene=n), n)
        for n, caption in enumerate(captions, 1)
    ]
    return PROMPTS.scenes_question.format(scenes="\n".join(lines), task=PROMPTS.tasks[task], answer_types="")


def written(text: str, seed: int = 0) -> dict[str, object]:
    """What StoryQuestions writes, which must be under the schema."""
    said: dict[int, list[str]] = {}
    writer: Writer = StoryQuestions()
    requests = [Request(text, seed, expects=ScenesQuestion)]
    assert writer.batches(requests) == [[0]]
    writer.write([requests], lambda number, answers: said.update({number: [answer.text for answer in answers]}))
    ((answer,),) = said.values()
    found: dict[str, object] = json.loads(answer)
    assert ScenesQuestion.stands_in(answer)
    assert set(found) == set(ScenesQuestion.model_fields)
    assert found["answer_type"] in ANSWER_TYPES
    return found


@pytest.mark.parametrize("task", TASKS)
def test_questions_about_true_captions(task: str) -> None:
    for seed, story in enumerate(drawn(10, "train", [2, 3, 4, 6, 8, 16] * 10)):
        found = written(prompt(task, [thing.caption for thing in story]), seed)
        parsed = parse_scenes_question(json.dumps(found), len(story), check_trace=True)
        assert not isinstance(parsed, Refusal), parsed
        shown = [story[number - 1] for number in parsed.scenes]
        assert len(shown) == 2
        shapes = [thing.shape for thing in story]
        if task == "pair":
            known = re.fullmatch(r"(.+) are the (\w+) and the (\w+)\?", parsed.question)
            assert known
            assert sorted(known.groups()[1:]) == sorted(thing.shape for thing in shown)
            attribute = "color" if known[1] == "what color" else "place"
            by_shape = {thing.shape: getattr(thing, attribute) for thing in shown}
            answer = f"{by_shape[known[2]]} and {by_shape[known[3]]}"
            assert check_pair(story, parsed.question, answer)
            for thing, number in zip(shown, parsed.scenes, strict=True):
                seen = (
                    f"{thing.color} {thing.shape}" if attribute == "color" else f"{thing.shape} in the {thing.place}"
                )
                assert f"Scene #{number} shows a {seen}." in parsed.trace
        elif task == "order":
            known = re.fullmatch(r"which is first, the (\w+) or the (\w+)\?", parsed.question)
            assert known
            assert all(shapes.count(shape) == 1 for shape in known.groups())
            assert sorted(known.groups()) == sorted(thing.shape for thing in shown)
            assert parsed.trace.split()[4].rstrip(".") == shown[0].shape, "the trace begins with the first"
        else:
            known = re.fullmatch(r"what is (before|after) the (\w+)\?", parsed.question)
            assert known
            assert shapes.count(known[2]) == 1
            place = shapes.index(known[2])
            assert parsed.scenes == ([place, place + 1] if known[1] == "before" else [place + 1, place + 2])


def test_questions_have_the_words_that_the_base_was_taught() -> None:
    story = drawn(1, "train", [2])[0]
    taught = {pair_question(*pair, np.random.default_rng(i))[0] for i in range(20) for pair in (story, story[::-1])}
    asked = {str(written(prompt("pair", [thing.caption for thing in story]), seed)["question"]) for seed in range(40)}
    assert asked == taught == {question for question, _ in story_questions(story, np.random.default_rng(0))}


@pytest.mark.parametrize("task", TASKS)
def test_seeds_decide(task: str) -> None:
    text = prompt(task, [thing.caption for thing in drawn(2, "train", [8])[0]])
    assert len({json.dumps(written(text, seed)) for seed in range(30)}) > 4
    assert written(text, 5) == written(text, 5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Describe the scene.",
        "task: poetry\nScene #1 (0.0-4.0 s): a red ring moves left in the sand",
        "task: pair",
        "task: pair\n",
        "task: pair\nScene #1 (0.0-4.0 s): \nScene #2 (4.0-8.0 s): ",
        "task: pair\nScene #1 (0.0-4.0 s): a red ring moves left in the sand",
        "task: order\nScene #x (0.0-4.0 s): a red ring\nScene #2: a blue bar",
        "task: before_after\nScene #1 (0.0-4.0 s): red red red \N{SNOWMAN} {}{question}\nScene #2 (4.0-8.0 s): ????",
        "task: pair\nScene #1 (0.0-4.0 s): a red ring\nScene #2 (4.0-8.0 s): a red ring",
        "task: pair\nScene #1 (0.0-4.0 s): a ring bar\nScene #2 (4.0-8.0 s): a red pole",
        "task: pair\nScene #1 (0.0-4.0 s): a ring\nScene #2 (4.0-8.0 s): a bar",
        "task: before_after\nScene #1 (0.0-4.0 s): a red ring\nScene #3 (8.0-12.0 s): a blue bar",
    ],
)
def test_nothing_is_asked_where_nothing_is_certain(text: str) -> None:
    found = written(text)
    assert found == NOTHING
    assert isinstance(parse_scenes_question(json.dumps(found), 3, check_trace=True), Refusal)


def test_captions_of_any_words_do_no_harm() -> None:
    """What is asked is certain from the captions, however the model has garbled them."""
    rng = np.random.default_rng(0)
    said = "a red blue ring bar pole disc moves in the sand sea , . Scene #1 (0.0-4.0 s):"
    words = [*said.split(), "\n"]
    asked = 0
    for seed in range(1200):
        captions = [" ".join(rng.choice(words, rng.integers(0, 9))) for _ in range(rng.integers(0, 7))]
        found = written(prompt(TASKS[seed % 3], captions), seed)
        if found == NOTHING:
            continue
        asked += 1
        assert isinstance(found["scenes"], list)
        shapes = re.findall(r"\b(ring|bar|pole|disc)\b", str(found["question"]))
        assert shapes
        if not any("\n Scene" in caption for caption in captions):  # else a caption may pose as other scenes
            shown = [captions[number - 1] for number in found["scenes"]]
            assert all(any(shape in caption for caption in shown) for shape in shapes)
            assert all(sum(shape in caption for caption in captions) == 1 for shape in shapes)
    assert asked > 50


def test_a_wrong_caption_is_believed_and_a_damaged_one_still_counts() -> None:
    captions = ["a red ring moves left in the sand", "a blue bar moves up in the sea", "a green pole in in fog"]
    for seed in range(20):
        # the damaged caption names a bar too: there are two, and no question may name one
        asked = str(written(prompt("pair", [*captions, "a bar bar ring? no, a disc"]), seed)["question"])
        assert "bar" not in asked
        assert "ring" not in asked
    color = {written(prompt("pair", captions), seed)["trace"] for seed in range(60)}
    assert "Scene #3 shows a green pole. Scene #2 shows a blue bar." in color
    assert "Scene #2 shows a bar in the sea. Scene #3 shows a pole in the fog." in color


def test_the_writer_works_through_the_journal(tmp_path: Path) -> None:
    story = [thing.caption for thing in drawn(2, "train", [8])[0]]
    requests = [Request(prompt(task, story), seed) for task in TASKS for seed in range(3)]
    writer = StoryQuestions()
    first = Journal(tmp_path)
    answers = first.ask(writer, requests, "questions")
    assert first.asked == len(requests)
    again = Journal(tmp_path)
    assert again.ask(writer, [*reversed(requests)], "questions") == [*reversed(answers)]
    assert again.asked == 0
    assert [json.loads(answer.text) for answer in answers] == [written(one.text, one.seed) for one in requests]
    assert Journal(tmp_path / "none").ask(writer, [], "questions") == []
