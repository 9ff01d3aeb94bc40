"""Whether a reply has a true answer among its words.

The rule: doubt is no. A reply counts when a true answer stands in it as whole words, in their order, and when neither
of two things is so:

- The answer is ruled out: `not red`, `isn't red`, `rather than red`, `no longer red`, `whether it is red`, `red is
  wrong`; the word that does so stands at most three words before it, with no comma or `but` between. One such place
  makes the whole reply wrong.
- The answer is one of a list: `red or blue`, `red and blue`, `red, blue, green`, `red/blue`, lines with bullets. It
  has to stand alone somewhere. `The ring is red and the bar is blue` is not a list.

Case, punctuation and articles mean nothing. `three` is 3 and `twenty-one` is 21, `third` is 3rd, `none` is 0, `twice`
is 2. To a number no reply is right that names another one (`of 5 people, 3 wear hats`), times such as 0:15 apart.
`Yes` and `no` count as the first word of a reply or as the last one of a clause. A word with hyphens is one word:
`red` is not in `red-haired`. `and` and commas within an answer are the same.

What it does not see: synonyms (`crimson`), other forms (`running`, `ran`), `once` as 1 and `no people` as 0, numbers
in words from a hundred on, `the ring is red and the bar is blue` as `red and blue`, parts of a list in another order,
sentences that contradict each other without a `not`, negation from further away (`it is not the case that it is red`),
answers to another question in the same reply, words of languages that write without spaces, and any `not` that is not
English.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from num2words import num2words

from longvpo.models.text import normalise

SMALL = [num2words(number) for number in range(20)]
TENS = [num2words(number) for number in range(20, 100, 10)]
FORMS = {
    **{word: str(number) for number, word in enumerate(SMALL)},
    **{word: str(10 * number) for number, word in enumerate(TENS, 2)},
    **{num2words(number, to="ordinal"): num2words(number, to="ordinal_num") for number in range(1, 20)},
    **{"none": "0", "twice": "2", "thrice": "3", "yeah": "yes", "yep": "yes", "nope": "no"},
    **{"&": "and", "+": "and", "plus": "and", "/": "or"},
}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
NEGATIVE = re.compile(r"\s*-\d")
PART = re.compile(
    r"(?P<number>(?:(?<!\w)-)?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.:]\d+)*)(?!\w))"
    r"|(?P<word>(?<!\w)(?:[^\W\d_]\.){2,}(?!\w)|[^\W_]+(?:['’][^\W_]+)*(?:\+\+|\#)?)|(?P<end>[.!?\n;:()—…]|\s[-–]+\s|--)|(?P<other>[,/&+])"
)
BULLET = re.compile(r"^\s*(?:[-*•]|\(?\w{1,2}[.)])\s+", re.MULTILINE)
HYPHENS = "-‐‑–"
ARTICLES = {"a", "an", "the"}
END, COMMA = ".", ","
BREAKS = {END, COMMA, "but", "yet", "though", "although", "however", "while", "whereas", "because"}
NEGATING = {
    *("not", "no", "never", "neither", "nor", "without", "non", "0", "nobody", "nothing", "hardly"),
    *("than", "instead", "unlike", "except", "opposed", "if", "whether", "least"),
}
NEAR = 8  # words around an answer that may rule it out or list it
REACH = 3  # words from a negation to what it rules out
WRONG = {"not", "wrong", "incorrect", "false"}
BEING = {"is", "was", "are", "were"}
JOINING = {"and", "or", "nor"}
ASIDES = {
    *("yes", "no", "well", "sure", "okay", "ok", "so", "indeed", "right", "too", "also", "then", "here", "again"),
    "respectively",
}
NOT_ONE = {
    "no",
    "this",
    "that",
    "which",
    "each",
    "every",
    "any",
    "some",
    "another",
}  # `one` after these is not a number


class Word(NamedTuple):
    """A word of a text, or the end of a clause.

    Attributes:
        text: in the form in which words are compared.
        written: as it stood there, in small letters.
        joined: a hyphen joins it to the one before.
    """

    text: str
    written: str
    joined: bool = False


def exact(said: str, answers: tuple[str, ...]) -> bool:
    """Whether a reply equals a true answer after case and punctuation are taken away, but for a number's sign."""
    return any(
        normalise(said) == normalise(one)
        and bool(NEGATIVE.match(said)) == bool(NEGATIVE.match(one))
        and (normalise(one) or said.strip() == one)
        for one in answers
    )


def contains(said: str, answers: tuple[str, ...]) -> bool:
    """Whether a reply has a true answer among its words."""
    return exact(said, answers) or any(_has(words(said), words(one)) for one in answers)


def stands_in(part: str, text: str) -> bool:
    """Whether the words of one text stand in another, whatever that says of them."""
    short, long = _texts(part), _texts(text)
    return any(long[start : start + len(short)] == short for start in range(len(long) - len(short) + 1))


@lru_cache(10_000)
def _texts(text: str) -> tuple[str, ...]:
    return tuple(word.text for word in words(text))


def overlap(one: str, other: str) -> bool:
    """Whether two answers may both be right, as far as their words say: one of them stands in the other."""
    return stands_in(one, other) or stands_in(other, one)


def words(text: str) -> list[Word]:
    """The words of a text without articles, with the ends of its clauses."""
    found: list[Word] = []
    text = unicodedata.normalize("NFKC", text).lower()
    if len(BULLET.findall(text)) > 1:  # a list over several lines
        text = BULLET.sub(" / ", text)
    for part in PART.finditer(text):
        written = part[0].replace("’", "'")
        joined = part.start() > 1 and text[part.start() - 1] in HYPHENS and (text[part.start() - 2].isalnum())
        if part["end"]:
            found.append(Word(END, written))
        elif part["number"]:
            found.append(Word(_plain_number(written), written, joined))
        elif written.endswith("n't") or written == "cannot":
            stem = "can" if written == "cannot" else written.removesuffix("n't")
            found += [Word(stem, stem, joined), Word("not", "not")]
        elif written not in ARTICLES or joined:
            plain = re.sub(r"['.]", "", written)
            found.append(Word(FORMS.get(plain, plain), written, joined))
    return _with_tens(found)


def _plain_number(written: str) -> str:
    """1,000 as 1000, and 3.0 as 3."""
    written = written.replace(",", "")
    return re.sub(r"\.0+$", "", written) if NUMBER.fullmatch(written) else written


def _with_tens(found: list[Word]) -> list[Word]:
    """`twenty one` as 21."""
    joined: list[Word] = []
    for word in found:
        last = joined[-1] if joined else None
        if last and last.written in TENS and word.written in SMALL[1:10]:
            joined[-1] = Word(str(int(last.text) + int(word.text)), f"{last.written} {word.written}", last.joined)
        else:
            joined.append(word)
    return joined


def _has(said: list[Word], answer: list[Word]) -> bool:
    wanted = [word.text for word in answer if word.text != END]
    while wanted and wanted[-1] in (COMMA, "and"):
        wanted.pop()
    if not wanted:
        return False
    if wanted in (["yes"], ["no"]):
        return _stands(said, wanted[0]) and not _stands(said, "no" if wanted == ["yes"] else "yes")
    if len(wanted) == 1 and NUMBER.fullmatch(wanted[0]) and _other_number(said, wanted[0]):
        return False
    places = list(_places(said, wanted))
    return not any(_ruled_out(said, *place) for place in places) and not all(_listed(said, *one) for one in places)


def _stands(said: list[Word], word: str) -> bool:
    """Whether `yes` or `no` is an answer: the first word, or the last of a clause."""
    texts = [*(one.text for one in said), END]
    return texts[0] == word or any(one == word and after in BREAKS for one, after in pairwise(texts))


def _other_number(said: list[Word], number: str) -> bool:
    return any(
        NUMBER.fullmatch(one.text) and one.text != number and one.written not in ("one", "none") for one in said
    )


def _places(said: list[Word], wanted: list[str]) -> list[tuple[int, int]]:
    """Where a reply has these words: from the first one to behind the last one."""
    found = []
    for start in range(len(said)):
        place = start
        for number, word in enumerate(wanted):
            if word in (COMMA, "and") and number:
                while place < len(said) and said[place].text in (COMMA, "and"):
                    place += 1
            elif place < len(said) and said[place].text == word:
                place += 1
            else:
                break
        else:
            inside = said[start].joined or (place < len(said) and said[place].joined)
            if not inside and not _no_number(said, start, place):
                found.append((start, place))
    return found


def _no_number(said: list[Word], start: int, end: int) -> bool:
    """Whether a lone `one` counts nothing, as in `no one` and `one of them`."""
    if end - start > 1 or said[start].written != "one":
        return False
    around = {one.text for one in said[max(start - 1, 0) : start]}, {one.text for one in said[end : end + 1]}
    return bool(around[0] & NOT_ONE or around[1] & {"of", "another"})


def _around(said: list[Word], start: int, end: int) -> tuple[list[str], list[str]]:
    """Some words before a place, the nearest first, and some after it."""
    before = [one.text for one in said[max(start - NEAR, 0) : start]]
    return before[::-1], [one.text for one in said[end : end + NEAR]]


def _clause(texts: list[str]) -> list[str]:
    """The words up to the end of a clause."""
    return texts[: next((place for place, text in enumerate(texts) if text in BREAKS), len(texts))]


def _ruled_out(said: list[Word], start: int, end: int) -> bool:
    before, after = map(_clause, _around(said, start, end))
    after = after[1:] if after and after[0] in BEING else after
    return bool(NEGATING.intersection(before[:REACH]) or WRONG.intersection(after[:1]))


def _listed(said: list[Word], start: int, end: int) -> bool:
    """Whether the words from `start` to `end` are one of several things that a reply names side by side."""
    before, after = _around(said, start, end)
    if JOINING.intersection(before[:1]) or "or" in _clause(before)[:2] or "or" in _clause(after)[:3]:
        return True
    if before[:1] == [COMMA]:
        item, ends = _clause(before[1:]), not after or after[0] in BREAKS | JOINING
        if item and item[0] not in ASIDES and (ends or len(item) == 1):
            return True
    comma = after[:1] == [COMMA]
    rest = after[comma:]
    joined = rest[:1] == ["and"]
    if comma and rest[:1] in (["or"], ["nor"]):
        return True
    item = _clause(rest[joined:])
    longest = 2 if joined else 1
    short = 0 < len(item) <= longest or bool(JOINING.intersection(item[1 : longest + 1]))
    return (comma or joined) and short and item[0] not in ASIDES
