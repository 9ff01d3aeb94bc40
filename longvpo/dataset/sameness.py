"""Whether two answers say the same, by their words and the order of these.

The rule: a cosine is only a hint. Sentence encoders hardly see order, numbers, sides and negation: "the onions after
the garlic" and "the garlic after the onions" are 0.996 alike. Such pairs are the best that a question about time has.
So a word of meaning that stands in only one of two answers makes them different, and so does another order. What is in
doubt is different. Words are known in English; in another language only equal ones are equal, in the same order.
"""

from __future__ import annotations

import re
from collections import Counter

from longvpo.models.text import normalise


def _set(words: str) -> set[str]:
    return set(words.split())


# words without which an answer has the same meaning
FILLERS = _set(
    "a an the is are was were be been being am has have had do does did there it its that which this these those "
    "who of with in at as and also just very then so some"
)
# where only one of two answers has any, who acts is told by the event before
PRONOUNS = {"he", "she", "they", "him", "her", "them", "his", "their"}
WORDS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
NUMBERS = {word: str(number) for number, word in enumerate([*WORDS.split(), "seventeen", "eighteen", "nineteen"])}
NUMBERS |= {"twenty": "20", "once": "1 time", "twice": "2 time", "thrice": "3 time"}
# what turns a meaning round where only one of two answers has it, beside numbers
TURNS = _set(
    "not no never none nobody nothing without neither nor only before after left right up down first last again "
    "both all from to into out off on under over above below behind inside outside front back more less fewer "
    "same other another different until while during or by for will would almost nearly barely hardly half tries "
    "fails pretends "
    # and negation in other languages
    "pas ne n jamais nicht kein keine nie non não nunca не нет ни niet geen inte ikke"
)
REWRITTEN = [
    (r"\bcan(?:not|'t)\b", "can not"),
    (r"\bwon't\b", "will not"),
    (r"n't\b", " not"),
    (r"'(?:s|re|m|ve|ll|d)\b", ""),
    (r"\b(?:to|towards?) (?:the |his |her |its |their )?(left|right)\b(?: side)?", r"\1"),
]
# vowel signs, such as those of Hindi, are no letters to `re`
WORD = re.compile(r"(?:[^\W_]|[\u0300-\u036f\u0591-\u1cff])+(?:[.:]\d+)?")
COPULA = re.compile(r"(?:the |an? )?(\w+) (?:is|are|was|were) (\w+)")  # the ball is red
THEN = re.compile(r",? (?:and )?then |,? followed by ")
BEFORE = re.compile(r"(.+?),? before (.+)|^before (.+?), (.+)")
AFTER = re.compile(r"(.+?),? after (.+)|^after (.+?), (.+)")


def say_the_same(one: str, other: str, similarity: float, threshold: float | None) -> bool:
    """Whether two answers say the same.

    Args:
        similarity: cosine of the answers.
        threshold: above it, two answers of which one only says more are the same; None: only equal answers are.
    """
    if normalise(one) == normalise(other):
        return True
    if threshold is None:
        return False
    first, second = events(one), events(other)
    if len(first) != len(second) or not all(first) or not all(second):
        return False
    if len(first) > 1:
        return _same_order(first, second)
    return first == second or (similarity > threshold and _says_more(*sorted([first[0], second[0]], key=len)))


def events(text: str) -> list[list[str]]:
    """The events of an answer, in the order of time, each by its words. Most answers have one event."""
    said = text.lower().replace("’", "'").strip(" .!?\n")
    for pattern, plain in REWRITTEN:
        said = re.sub(pattern, plain, said)
    # at the start a clause in front: "after the garlic, the onions"
    for clauses, turned in ((BEFORE, False), (AFTER, True)):
        found = clauses.fullmatch(said)
        if found and not THEN.search(said):
            main, clause, first_clause, after_it = found.groups()
            in_text = [main, clause] if main else [after_it, first_clause]
            return [words(part) for part in (reversed(in_text) if turned else in_text)]
    return [words(part) for part in THEN.split(said)]


def words(text: str) -> list[str]:
    """The words of a text that carry its meaning, in order and as stems; numbers as digits."""
    found = COPULA.fullmatch(text)
    if found and (len(found[2]) < 5 or not found[2].endswith(("ing", "ed"))):
        text = f"{found[2]} {found[1]}"
    said = " ".join(NUMBERS.get(word, word) for word in WORD.findall(text)).split()
    return [stem(word) for word in said if word not in FILLERS]


def stem(word: str) -> str:
    """`moves`, `moved` and `moving` are one word. Words of four letters and less stay, except for their plural."""
    for ending, plain in (
        ("ies", "y"),
        ("ying", "y"),
        ("ied", "y"),
        ("sses", "ss"),
        ("ing", ""),
        ("ed", ""),
        ("s", ""),
    ):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) > 2 and not (ending == "s" and rest.endswith(("s", "u", "i"))):
            word = rest + plain
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsaeiou":  # running, stopped
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


TURNING = {stem(word) for word in TURNS}


def _same_order(one: list[list[str]], other: list[list[str]]) -> bool:
    """Whether the events of both come in the same order, each with the same words in theirs."""
    one, other = ([_without(events[0], {"first"}), *events[1:]] for events in (one, other))
    return all(first == second or _same_who(first, second) for first, second in zip(one, other, strict=True))


def _same_who(one: list[str], other: list[str]) -> bool:
    """Whether two events are the same, except for pronouns that only one of them has."""
    bare = [_without(words, PRONOUNS) for words in (one, other)]
    return bare[0] == bare[1] and (bare[0] == one or bare[1] == other)


def _without(words: list[str], left_out: set[str]) -> list[str]:
    return [word for word in words if word not in left_out]


def _says_more(less: list[str], more: list[str]) -> bool:
    """Whether `more` has all words of `less` in their order, and no other that turns or counts."""
    left = iter(more)
    extra = Counter(more) - Counter(less)
    turning = any(word in TURNING or word[0].isdigit() for word in extra)
    return not turning and all(word in left for word in less) and bool(extra)
