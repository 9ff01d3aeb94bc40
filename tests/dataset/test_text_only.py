"""The text-only baseline: what a model that sees no video prefers, against a computation by hand."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from support.servers import serve

from longvpo.clips.rows import Clip, Triplet
from longvpo.clips.stored import load_rows
from longvpo.dataset.session import Session, clip_request
from longvpo.dataset.shortcuts import gives_away
from longvpo.dataset.text_only import as_rules, classifier, text_only
from longvpo.models.endpoint import EndpointWriter
from longvpo.models.local import LocalWriter
from longvpo.recipe.dataset import DatasetRecipe
from longvpo.recipe.file import load_recipe
from longvpo.recipe.sections import EndpointSection, WriterSection
from longvpo.video.frames import ClipFrames


def triplets(count: int, chosen: str, rejected: str) -> list[Triplet]:
    """Rows of stage 2, whose two answers were drawn alike."""
    return [
        Triplet(
            *(str(n), 2, f"what is seen in number {n}?", chosen, rejected, "irrelevant"),
            *([{"source": "s", "video": f"{n}.mp4", "start": 0.0}], [0], [], "w", "", n, "r"),
        )
        for n in range(count)
    ]


class Words:
    """An embedder for which a text is the words that it has."""

    def texts(self, texts: list[str]) -> np.ndarray:
        found = np.zeros((len(texts), 256))
        for row, text in zip(found, texts, strict=True):
            row[[crc32(word.encode()) % 256 for word in text.split()]] = 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def session(recipe: DatasetRecipe, writer: Any, tmp_path: Path) -> Session:
    from longvpo.models.journal import Journal

    return Session(recipe, writer, None, writer, Words(), Journal(tmp_path / "journal"), None)  # type: ignore[arg-type]


def test_a_local_model_prefers_what_is_likelier(dataset_recipe: DatasetRecipe, tmp_path: Path) -> None:
    """The tiny model's vocabulary has words that it says and words that it never says after a question."""
    writer = LocalWriter(dataset_recipe.writer)
    asked = session(dataset_recipe, writer, tmp_path)
    said = text_only(asked, triplets(7, "red", "the the the ring"), {})
    assert said["prefers_chosen"] == 1.0
    assert (said["rows"], said["model"], said["method"], said["unreadable"]) == (
        7,
        "tiny@main",
        LocalWriter.choosing,
        0,
    )
    assert text_only(asked, triplets(7, "the the the ring", "red"), {})["prefers_chosen"] == 0.0
    assert text_only(asked, triplets(7, "red", "red"), {})["prefers_chosen"] == 0.5
    few = session(dataset_recipe.model_copy(update={"text_only": 5}), writer, tmp_path)
    assert text_only(few, triplets(7, "red", "the"), {})["rows"] == 5
    off = session(dataset_recipe.model_copy(update={"text_only": 0}), writer, tmp_path)
    assert text_only(off, triplets(7, "red", "the"), {}) == {
        "not_run": "switched off by `text_only: 0`",
        "classifier": {"not_run": "switched off by `text_only: 0`"},
    }


@pytest.mark.parametrize(
    ("says", "prefers", "unreadable"),
    [("chosen", 1.0, 0), ("first", 0.5, 0), ("nothing", 0.5, 200)],
)
def test_a_server_is_asked(
    says: str, prefers: float, unreadable: int, dataset_recipe: DatasetRecipe, tmp_path: Path
) -> None:
    def reply(body: dict[str, Any]) -> str:
        text = body["messages"][0]["content"]
        assert isinstance(text, str), "no frames are sent"
        if says == "nothing":
            return '{"answer": "I cannot tell"}'
        chosen_first = text.index("the right one") < text.index("the wrong one")
        return json.dumps({"right": "A" if says == "first" or chosen_first else "B"})

    with serve("ok") as server:
        server.says = reply
        endpoint = EndpointSection(url=server.url, retries=0)
        writer = EndpointWriter(WriterSection(model="some/model", endpoint=endpoint), endpoint)
        said = text_only(
            session(dataset_recipe, writer, tmp_path), triplets(200, "the right one", "the wrong one"), {}
        )
    assert said["method"] == EndpointWriter.choosing
    assert said["prefers_chosen"] == pytest.approx(prefers, abs=0.12 if says == "first" else 0), "in random order"
    assert said["unreadable"] == unreadable
    assert said["distance"] == pytest.approx(abs(said["prefers_chosen"] - 0.5), abs=1e-4)


def test_a_classifier_finds_what_the_texts_tell() -> None:
    rng = np.random.default_rng(0)
    told, fair = [], []
    for row in triplets(300, "", ""):
        one, other = rng.choice(["red", "blue", "green", "white"], 2, replace=False)
        told.append(replace(row, chosen=f"{one} and {other}", rejected=f"both are {other}"))
        fair.append(replace(row, chosen=str(one), rejected=str(other)))
    assert classifier(Words(), told)["prefers_chosen"] == 1.0
    found = classifier(Words(), fair)
    assert found["rows"] == 300
    assert found["distance"] < 3.5 * found["error"]
    # rows about the same video are never on both sides: what is said of it cannot be learnt by heart
    of_one = [replace(row, prompt="q", chosen=f"{n % 6}", rejected=f"not {n % 6}") for n, row in enumerate(fair)]
    assert classifier(Words(), of_one)["prefers_chosen"] == 1.0, "`not` is never right"
    assert classifier(Words(), of_one[:4]) == {"not_run": "there are fewer than 5 anchors or long videos"}
    rules = as_rules({"not_run": "", "classifier": classifier(Words(), told)})
    assert [gives_away(rule) for rule in rules] == [False, True]
    # in exact balance each answer that is right here is wrong elsewhere: nothing that training could use
    things = [f"thing{number}" for number in range(40)]
    pairs = zip(fair, things, [*things[1:], things[0]], strict=False)
    even = [replace(row, prompt="q", chosen=one, rejected=other) for row, one, other in pairs]
    rules = as_rules({"not_run": "", "classifier": (found := classifier(Words(), even))})
    assert found["prefers_chosen"] < 0.5 - 3 * found["error"]
    assert not any(map(gives_away, rules))


def test_answers_of_stage_1_are_compared_as_they_are_drawn_alike(dataset: Path, tmp_path: Path) -> None:
    """Chosen was drawn with its question: the writer answers again from the anchor, as it did from the other clip."""
    recipe = load_recipe(DatasetRecipe, str(dataset / "recipe.yaml"))
    clips = {row["clip_id"]: Clip(**row) for row in load_rows(str(dataset), "clips", "train", None)}
    names = {field.name for field in fields(Triplet)}
    rows = load_rows(str(dataset), "stage1", "train", None)
    made = [Triplet(**{name: row[name] for name in names & row.keys()}) for row in rows]
    compared: list[tuple[str, str, str]] = []

    class Watched(LocalWriter):
        def prefers(self, pairs: Any, ask: Any, seed: int) -> list[float | None]:
            compared.extend(pairs)
            return super().prefers(pairs, ask, seed)

    watched = session(recipe, Watched(recipe.writer), tmp_path)
    watched.frames_of = ClipFrames(recipe.video, {source.name: source.folder for source in recipe.sources})
    assert text_only(watched, made, clips)["rows"] == len(made)
    anchors = [clips[triplet.context[triplet.anchors[0]]["clip_id"]] for triplet in made]
    requests = [
        clip_request([anchor], watched, one.prompt, one.seed) for anchor, one in zip(anchors, made, strict=True)
    ]
    greedy = watched.ask(requests, "", Counter())
    expected = [(one.prompt, answer.text, one.rejected) for one, answer in zip(made, greedy, strict=True)]
    assert compared == expected
