"""What the writer and the judge are asked, in one place. A recipe replaces any of them under `prompts:`.

Questions and verdicts are asked for as JSON: a server is held to the schema, and a model on this machine is taken at
its word; filters.py reads both.
"""

from __future__ import annotations

from typing import Any

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

# asked of a server once, after an answer that is no such object; not the recipe's to replace
REPAIR = "That was not a JSON object with the keys {keys}. Reply again with that object alone."

# what is filled into each; all but the caption of a question must be there
PLACEHOLDERS: dict[str, tuple[str, ...]] = {
    "question": ("caption",),
    "answer": ("question",),
    "judge": ("question", "caption", "others"),
    "caption": (),
}


def _schema(**properties: str) -> dict[str, Any]:
    """The JSON schema of an object with these keys, all required, of these types."""
    return {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


QUESTION_SCHEMA = _schema(question="string", answer="string")
JUDGE_SCHEMA = _schema(reason="string", specific="boolean")  # in this order: first think, then say
