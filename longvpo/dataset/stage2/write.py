"""Self-reasoning: questions about long videos that need several scenes, and answers that miss some of them.

A language model reads the captions of a part of a video and asks a question. The model that will be trained answers
twice. Its chosen answer is from the scenes that the question cites, its rejected answer from too few of them or from
other scenes. Paper, section 3.4.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from longvpo.clips.rows import Refusal, Scene, Triplet
from longvpo.dataset.drafts import Asked, Draft, alive, check_pairs
from longvpo.dataset.replies import ScenesQuestion, parse_right, parse_scenes_question
from longvpo.dataset.sameness import say_the_same
from longvpo.dataset.session import Session, clip_request, failed, question_section
from longvpo.dataset.stage2.captions import scene_line
from longvpo.models.text import AnswerVerdict, normalise
from longvpo.models.writer import Answer, Request
from longvpo.recipe.dataset import Stage2Section
from longvpo.recipe.prompts import ANSWER_TYPES


@dataclass
class Reasoning(Draft):
    """A draft about several scenes."""

    stage = 2
    part: list[Scene]
    task: str
    answer_type: str = ""
    trace: str = ""
    relevant: list[int] = field(default_factory=list)  # places in the part
    rejection: str = ""
    outside: list[int] = field(default_factory=list)  # places that the rejected answer was written from
    partial_answers: dict[tuple[int, ...], str] = field(default_factory=dict)  # by the relevant scenes shown

    def reasoned(self, session: Session) -> Triplet:
        """The row that it becomes."""
        return self.triplet(
            session,
            self.part,
            [self.part[place] for place in self.outside],
            anchors=self.relevant,
            rejection=self.rejection,
            task=self.task,
            answer_type=self.answer_type,
            trace=self.trace,
            scenes=[scene.scene for scene in self.part],
            question_writer=session.question_writer.name,
        )


def parts(scenes: list[Scene], section: Stage2Section) -> list[list[Scene]]:
    """A long video in parts of about equal numbers of consecutive scenes, none with more than max_scenes."""
    number = -(-len(scenes) // section.max_scenes)
    edges = np.linspace(0, len(scenes), number + 1).round().astype(int).tolist()
    return [scenes[start:end] for start, end in pairwise(edges)]


def write(
    drafts: list[Reasoning], asked: Asked, session: Session, section: Stage2Section, counts: Counter[str]
) -> None:
    """All that makes a triplet of a draft, or gives it a refusal; `asked` gains the new questions."""
    write_questions(drafts, session, section, counts)
    check_new(drafts, asked, session)
    write_chosen(drafts, session, section, counts)
    check_scenes(drafts, session, section, counts)
    write_rejected(drafts, session, section, counts)
    check_answers(drafts, session, counts)


def write_questions(drafts: list[Reasoning], session: Session, section: Stage2Section, counts: Counter[str]) -> None:
    """Question, reasoning trace and relevant scenes, by a language model that reads only the captions.

    It sees the scenes of the context numbered from 1.
    """
    prompts = session.recipe.prompts
    temperature = question_section(session.recipe, section).temperature
    requests = []
    for draft in drafts:
        text = prompts.scenes_question.format(
            scenes="\n".join(scene_line(scene, number) for number, scene in enumerate(draft.part, 1)),
            task=prompts.tasks[draft.task],
            answer_types=", ".join(ANSWER_TYPES),
        )
        requests.append(Request(text, draft.seed, temperature, ScenesQuestion))
    answers = session.ask(requests, "questions", counts, "question_writer")
    for draft, answer in zip(drafts, answers, strict=True):
        parsed = failed(answer) or parse_scenes_question(answer.text, len(draft.part), section.trace)
        if isinstance(parsed, Refusal):
            draft.refusal = parsed
            continue
        draft.question, draft.answer_type, draft.trace = parsed.question, parsed.answer_type, parsed.trace
        draft.relevant = [number - 1 for number in parsed.scenes]
        draft.prompt = prompts.answer.format(question=draft.question)


def check_new(drafts: list[Reasoning], asked: Asked, session: Session) -> None:
    """Refuse questions that were nearly asked before."""
    new, threshold = alive(drafts), session.recipe.filters.question_threshold
    vectors = session.embedder.texts([draft.question for draft in new])
    for draft, vector, far in zip(new, vectors, asked.far(vectors, threshold), strict=True):
        draft.refusal = asked.before(vector, threshold, far)
        if draft.refusal is None:
            asked.add(vector)


def write_chosen(drafts: list[Reasoning], session: Session, section: Stage2Section, counts: Counter[str]) -> None:
    """The answer from only the relevant scenes, or from the whole context."""
    asked = alive(drafts)
    full = section.chosen == "full"
    shown = [list(range(len(draft.part))) if full else draft.relevant for draft in asked]
    for draft, answer in zip(asked, _answers(asked, shown, session, "chosen answers", counts), strict=True):
        draft.chosen = answer


def check_scenes(drafts: list[Reasoning], session: Session, section: Stage2Section, counts: Counter[str]) -> None:
    """Ask with only one scene, and with one scene left out: neither may give the answer, since the question needs them
    all."""
    for name, active in (("one_scene", section.one_scene), ("needed", section.needed)):
        alone = name == "one_scene"
        asked = [
            (draft, place, [other for other in draft.relevant if (other == place) == alone])
            for draft in alive(drafts)
            for place in draft.relevant
            if active
            and (alone or len(draft.relevant) > 2)  # where there are two scenes, the other one was asked by itself
        ]
        requests = [_request(draft, places, session) for draft, _, places in asked]
        answers = session.ask(requests, f"answers, {name.replace('_', ' ')}", counts)
        vectors = session.embedder.texts([answer.text for answer in answers])
        chosen = session.embedder.texts([draft.chosen for draft, _, _ in asked])
        close = [float(one @ other) for one, other in zip(vectors, chosen, strict=True)]
        said = zip([draft for draft, _, _ in asked], answers, close, strict=True)
        same = _same(list(said), session, counts)
        for (draft, place, places), answer, similarity, agrees in zip(asked, answers, close, same, strict=True):
            draft.partial_answers[tuple(places)] = answer.text
            draft.refusal = draft.refusal or failed(answer)
            if draft.refusal is None and agrees:
                how = f"scene #{place + 1} alone" if alone else f"the scenes without #{place + 1}"
                draft.refusal = Refusal(name, f"{how} gave the same answer: {answer.text[:200]!r}", similarity)


def _same(said: list[tuple[Reasoning, Answer, float]], session: Session, counts: Counter[str]) -> list[bool]:
    """Whether answers mean the same as chosen: by the judge where there is one, and else by their words.

    Args:
        said: for each, its draft, the answer, and the cosine of chosen to it.
    """
    threshold = session.recipe.filters.answer_threshold
    same = [say_the_same(answer.text, draft.chosen, similarity, threshold) for draft, answer, similarity in said]
    if not session.judges_answers or threshold is None:
        return same
    near = [
        place
        for place, (draft, answer, similarity) in enumerate(said)
        if (same[place] or similarity > threshold)
        and not answer.flaw
        and normalise(answer.text) != normalise(draft.chosen)
    ]
    requests = [_pair_request(said[place][0], said[place][1].text, session) for place in near]
    for place, verdict in zip(near, session.ask(requests, "verdicts", counts, "judge"), strict=True):
        found = AnswerVerdict.read(verdict.text)
        same[place] = found.right if found else same[place]
    return same


def write_rejected(drafts: list[Reasoning], session: Session, section: Stage2Section, counts: Counter[str]) -> None:
    """The answer from too few of the relevant scenes, or from as many that are not relevant."""
    for draft in alive(drafts):
        draft.rejection, draft.outside = draw_outside(draft, section, session.recipe.seed)
        draft.rejected = draft.partial_answers.get(tuple(draft.outside), "")
    missing = [draft for draft in alive(drafts) if tuple(draft.outside) not in draft.partial_answers]
    shown = [draft.outside for draft in missing]
    for draft, answer in zip(missing, _answers(missing, shown, session, "rejected answers", counts), strict=True):
        draft.rejected = answer


def draw_outside(draft: Reasoning, section: Stage2Section, seed: int) -> tuple[str, list[int]]:
    """Kind of the rejected answer, and the places it is written from, in order.

    Where all scenes of a part are relevant, the answer is partial: it lacks an irrelevant one.
    """
    rng = np.random.default_rng([seed, draft.number, 2])
    others = [place for place in range(len(draft.part)) if place not in draft.relevant]
    if rng.random() < section.partial or not others:
        size = int(rng.integers(1, len(draft.relevant)))
        return "partial", sorted(rng.choice(draft.relevant, size, replace=False).tolist())
    size = min(len(draft.relevant), len(others))
    return "irrelevant", sorted(rng.choice(others, size, replace=False).tolist())


def check_answers(drafts: list[Reasoning], session: Session, counts: Counter[str]) -> None:
    """Chosen and rejected must make a pair, and the rejected answer must be wrong."""
    check_pairs(alive(drafts), session)
    if not session.judges_answers:
        return
    judged = alive(drafts)
    requests = [_pair_request(draft, draft.rejected, session) for draft in judged]
    for draft, answer in zip(judged, session.ask(requests, "verdicts", counts, "judge"), strict=True):
        draft.refusal = failed(answer) or parse_right(answer.text)


def _pair_request(draft: Reasoning, other: str, session: Session) -> Request:
    """Asks the judge whether another answer than chosen is right as well."""
    text = session.recipe.prompts.pair.format(
        question=draft.question,
        chosen=draft.chosen,
        rejected=other,
        scenes="\n".join(scene_line(draft.part[place], place + 1) for place in draft.relevant),
    )
    return Request(text, draft.seed, expects=AnswerVerdict)


def _answers(
    drafts: list[Reasoning], shown: list[list[int]], session: Session, progress: str, counts: Counter[str]
) -> list[str]:
    """Each draft's prompt answered from the scenes that are `shown`; a request that fails refuses its draft."""
    requests = [_request(draft, places, session) for draft, places in zip(drafts, shown, strict=True)]
    answers = session.ask(requests, progress, counts)
    for draft, answer in zip(drafts, answers, strict=True):
        draft.refusal = draft.refusal or failed(answer)
    return [answer.text for answer in answers]


def _request(draft: Reasoning, places: list[int], session: Session) -> Request:
    return clip_request([draft.part[place] for place in places], session, draft.prompt, draft.seed)
