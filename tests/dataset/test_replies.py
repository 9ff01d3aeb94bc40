"""What models replied: questions and verdicts, and why some are none."""

from __future__ import annotations

from typing import Any

import pytest
from support.scribe import said

from longvpo.clips.rows import Refusal
from longvpo.dataset.replies import ScenesQuestion, parse_question, parse_right, parse_scenes_question, parse_verdict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Question: What is it? Answer: A dog.", ("What is it?", "A dog.")),
        ("Sure!\n**Question:** What is it?\n**Answer:** A dog.\n", ("What is it?", "A dog.")),
        ('{"question": "What is it?", "answer": "A dog."}', ("What is it?", "A dog.")),
        (
            '```json\n{"question": "What is {it}?", "answer": "A dog."}\n``` I hope it helps',
            ("What is {it}?", "A dog."),
        ),
        ('{"question": "What is it?"}', "form"),
        ('{"question": "", "answer": "A dog."}', "form"),
        ('{"question": ["What is it?"], "answer": "A dog."}', "form"),
        ('{"question": "What is it?", "ans', "form"),
        ("What is it? A dog.", "form"),
        ("Question: Answer: a dog", "form"),
    ],
)
def test_parse_question(text: str, expected: Any) -> None:
    parsed = parse_question(text)
    assert (parsed.filter if isinstance(parsed, Refusal) else parsed) == expected


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ('{"specific": true, "reason": "it names the red scarf"}', None),
        ('{"specific": false, "reason": "clip 2 has one too"}', "clip 2 has one too"),
        ("Yes, it is.", None),
        ("No. Any of them.", "Any of them"),
        ("I am not sure", "gave no verdict"),
        ('{"specific": "maybe"}', "gave no verdict"),
        ('Yes. {"specific": "no"}', "gave no verdict"),
        ('No. {"reason": "any of them"}', "not specific: any of them"),
        ('Yes. {"specific": null}', None),
    ],
)
def test_parse_verdict(text: str, refused: str | None) -> None:
    refusal = parse_verdict(text)
    assert refused in refusal.reason if refusal and refused else refusal is refused


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


def test_verdicts() -> None:
    assert parse_right('{"reason": "no", "right": false}') is None
    for text in ('{"reason": "the same", "right": true}', "yes", '{"right": "false"}'):
        refused = parse_right(text)
        assert refused is not None
        assert refused.filter == "judge"
