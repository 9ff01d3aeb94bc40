"""The prompts for the writer and the judge, in one place. A recipe replaces any of them under `prompts:`.

Questions and verdicts are asked for as JSON. A server has to follow the schema; a model on this machine only gets the
prompt. dataset/replies.py has the schemas and reads the replies of both.
"""

from __future__ import annotations

from string import Formatter

QUESTION = """\
You see a short video clip. Its caption: {caption}

Later this clip will be hidden among many others. Write one question that only someone who has found and watched this \
very clip can answer. It must need several distinct things that are seen in it; it may not be answerable from general \
knowledge, and it may not mention a clip, a caption or a time. Then write the answer in one or two sentences.

Reply with a JSON object and nothing else: {{"question": "...", "answer": "..."}}"""

ANSWER = "{question}"

JUDGE = """\
A question was written about clip A. The other clips stand beside it in one long video.

Question: {question}

Clip A: {caption}

The other clips:
{others}

Is the question specific: does it need several distinct things seen in clip A, and can none of the other clips answer \
it? Reply with a JSON object and nothing else: {{"reason": "...", "specific": true or false}}"""

CAPTION = """\
Describe this video clip in two to four sentences: who and what is seen, what happens, where it is, and which details \
set it apart from similar clips."""

SCENE = """\
You watch a long video scene by scene. What happened before:
{before}

Describe the scene that you see now in two to four sentences: who and what is seen, what happens, where it is. \
People, things and places that were seen before keep the names that they had; say what has changed about them. Do not \
repeat what happened before."""

SUMMARY = """\
These are notes on the first scenes of a long video, in order:

{before}

Fold them into one summary of at most 120 words that keeps every person, thing and place with its name, and the order \
of what happened."""

SCENES_QUESTION = """\
These are the scenes of one long video, in order:

{scenes}

Write one question about the video: {task}. It must need two or more scenes, and no single scene may answer it. It \
may not mention scenes by number, captions or times.

Reply with a JSON object and nothing else: {{"question": "...", "answer_type": one of {answer_types}, "trace": how \
the answer follows, as in "Scene #N shows ... Scene #M shows ...", "scenes": [the numbers of the scenes that are \
needed, and of no others]}}"""

PAIR = """\
A question about a long video, and the captions of the scenes that answer it:

{scenes}

Question: {question}

Answer A: {chosen}
Answer B: {rejected}

Answer A was written by someone who saw these scenes. Is answer B right as well? Reply with a JSON object and nothing \
else: {{"reason": "...", "right": true or false}}"""

CLIP_PAIR = """\
A question about a video clip. Its caption: {caption}

Question: {question}

Answer A: {chosen}
Answer B: {rejected}

Answer A was written by someone who saw the clip. Is answer B right as well? Reply with a JSON object and nothing \
else: {{"reason": "...", "right": true or false}}"""

# the prompt of the text-only baseline; not the recipe's to replace, so that it means the same in every dataset
TEXT_ONLY = """\
A question about a video that you cannot see, and two answers. One of them is right.

Question: {question}

Answer A: {first}
Answer B: {second}

Which is more likely to be right? Reply with a JSON object and nothing else: {{"right": "A" or "B"}}"""

# `longvpo evaluate` asks this with `scoring.judge`; a recipe cannot replace this prompt either
GRADE = """\
A question about a video, its true answer, and the reply of someone who watched the video.

Question: {question}

True answer: {answers}

Reply: {said}

Does the reply give the true answer? Other words for the same are right, and so are more details. It is wrong where \
it leaves a part of the true answer out, contradicts it, names several answers, or does not commit itself. Reply with \
a JSON object and nothing else: {{"reason": "...", "right": true or false}}"""

TASKS = {
    "order": "about the order in which events of different scenes happen",
    "before_after": "about what happens before or after an event that another scene shows",
    "cause": "about the cause or the consequence, in one scene, of what another scene shows",
    "count": "about how many times something is seen or happens over several scenes",
    "change": "about how a person, a thing or a place changes from one scene to another",
    "entity": "about a person or a thing that is recognised again in another scene",
    "summary": "about what happens, taken together, over a span of several scenes",
}

ANSWER_TYPES = ("phrase", "number", "yes or no", "list", "sentence")

# a server is asked this once, after a reply that is not such an object; a recipe cannot replace it
REPAIR = "That was not a JSON object with the keys {keys}. Reply again with that object alone."

# placeholders that a prompt may leave out; it must have all others
MAY_BE_LEFT_OUT = {("question", "caption"), ("scene", "before"), ("scenes_question", "answer_types")}


def placeholders(template: str) -> list[str]:
    """The names of a prompt's placeholders, in their order."""
    return [name for _, name, _, _ in Formatter().parse(template) if name]


def filled_otherwise(template: str) -> str:
    """The first placeholder that is not a plain name; empty where there is none.

    Such a one could read Python's objects, or ask for a text of billions of blanks. Raises ValueError where a brace is
    open.
    """
    for _, name, form, conversion in Formatter().parse(template):
        if name is not None and (form or conversion or not name.isidentifier()):
            return "{" + name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "") + "}"
    return ""
