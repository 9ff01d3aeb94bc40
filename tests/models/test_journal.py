"""Answers that are kept: found by all that decides them, and whole where a line is not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from support.endpoints import PLAIN, writer_for
from support.scribe import Scribe
from support.servers import serve

from longvpo.dataset.replies import Verdict
from longvpo.models.journal import Journal, request_key
from longvpo.models.writer import Answer, Keep, Request


def test_a_journal_with_a_truncated_line(tmp_path: Path) -> None:
    scribe, requests = Scribe(tmp_path / "asked"), [Request(f"what is {i}?", seed=i) for i in range(8)]
    journal = Journal(tmp_path / "journal")
    answers = journal.ask(scribe, requests, "x")
    assert journal.asked == 8
    file = next((tmp_path / "journal").iterdir())
    file.write_bytes(file.read_bytes()[:-20])
    again = Journal(tmp_path / "journal")
    assert again.ask(scribe, requests, "x") == answers
    assert again.asked == 4, "the batch of the truncated line, and no other"
    third = Journal(tmp_path / "journal")
    assert third.ask(scribe, requests, "x") == answers
    assert third.asked == 0


@pytest.mark.parametrize(
    "change",
    [{"text": "other"}, {"seed": 5}, {"temperature": 0.5}, {"media": "b"}, {"times": (1.0,)}, {"expects": Verdict}],
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


def test_a_model_in_a_folder_of_another_name_is_not_asked_again(tmp_path: Path) -> None:
    scribe, request = Scribe(tmp_path / "asked"), Request("a")
    for name, asked in [
        ("mine@0123abcd", 1),
        ("moved@0123abcd", 0),
        ("moved@0123abce", 1),
        ("mine@0123abcd+stage1@00000000", 1),
        ("moved@0123abcd+renamed@00000000", 0),
        ("org/mine@0123abcd", 1),
    ]:
        scribe.name = name
        journal = Journal(tmp_path / "journal")
        assert journal.has(scribe, request) == (not asked)
        journal.ask(scribe, [request], "x")
        assert journal.asked == asked, name


def test_an_answer_to_another_length_is_another_where_a_model_is_told_it(tmp_path: Path) -> None:
    scribe, long, short = Scribe(tmp_path / "asked"), *(Request("a", times=(1.0,), seconds=s) for s in (600.0, 2.0))
    assert request_key(scribe, long) == request_key(scribe, short), "an answer that an earlier version kept is found"
    scribe.settings = scribe.settings | {"times": True}
    assert request_key(scribe, long) != request_key(scribe, short)


class Terse(Scribe):
    """Its answers are cut, empty, or none; its second answer to a question is another one."""

    def write(self, batches: list[list[Request]], keep: Keep) -> None:
        kinds = {"cut": {"error": "it was cut", "whole": False}, "": {}, "whole": {}, "refused": {"error": "no"}}
        self.seconds += 1
        for number, batch in enumerate(batches):
            said = [(one.text, kinds[one.text]) for one in batch]
            keep(number, [Answer(f"{text} {self.seconds:g}" if text else "", **flaw) for text, flaw in said])  # type: ignore[arg-type]


def test_where_they_count_cut_and_empty_answers_are_kept_too(tmp_path: Path) -> None:
    requests = [Request(text) for text in ("cut", "", "whole", "refused")]
    for flaws, kept in ((("cut", "empty"), 3), ((), 1)):
        folder, terse = tmp_path / f"journal{kept}", Terse(tmp_path / "asked")
        journal = Journal(folder, flaws)
        said = journal.ask(terse, requests, "")
        assert [one.flaw for one in said] == ["cut", "empty", "", "writer"]
        again = Journal(folder, flaws)
        assert [again.has(terse, one) for one in requests] == [kept == 3, kept == 3, True, False]
        assert again.ask(terse, requests[2:3], "") == said[2:3]
        assert again.asked == 0
    assert Journal(tmp_path / "journal3").ask(terse, requests[:1], "")[0].text == "cut 2", "a build asks again"


def test_the_first_answer_to_a_question_stands(tmp_path: Path) -> None:
    """Also where it stands in another batch, which is asked as a whole: a run that was killed sees what it saw."""
    terse, journal = Terse(tmp_path / "asked"), Journal(tmp_path / "journal")
    (first,) = journal.ask(terse, [Request("whole")], "")
    assert journal.ask(terse, [Request("whole"), Request("whole", seed=1)], "") == [first, Answer("whole 2")]
    assert Journal(tmp_path / "journal").ask(terse, [Request("whole"), Request("whole", seed=1)], "") == [
        first,
        Answer("whole 2"),
    ]


def test_an_answer_that_is_not_kept_gives_way_to_the_next(tmp_path: Path) -> None:
    terse, journal = Terse(tmp_path / "asked"), Journal(tmp_path / "journal")
    assert journal.ask(terse, [Request("cut")], "")[0].text == "cut 1"
    assert journal.ask(terse, [Request("cut"), Request("cut", seed=1)], "")[0].text == "cut 2"


@pytest.mark.parametrize("count", [math.nan, "12", [1], None])
def test_tokens_that_are_not_counted_spoil_no_answer(count: Any, tmp_path: Path) -> None:
    with serve("ok") as server:
        choice = {"message": {"role": "assistant", "content": "a red ring"}, "finish_reason": "stop"}
        server.sends = lambda good: {"choices": [choice], "usage": {"prompt_tokens": count}}
        (answer,) = Journal(tmp_path).ask(writer_for(server.url), [PLAIN], "")
    assert (answer.text, answer.prompt_tokens) == ("a red ring", None)
    assert Journal(tmp_path)._answers
