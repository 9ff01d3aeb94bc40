"""Whether a reply has a true answer among its words.

The rule: doubt is no. A reply counts when a true answer stands in it as whole words, in their order, and when neither
of two things is so:

- The answer is ruled out: `not red`, `isn't red`, `rather than red`, `no longer red`, `whether it is red`, `anything
  but red`, `red is wrong`, `red does not appear`. The word that does so stands at most three words before it, with no
  comma or `but` between, or right behind it. One such place makes the whole reply wrong.
- The answer is one of a list: `red or blue`, `red and blue`, `red, blue, green`, `red/blue`, `1. red 2. blue`, lines
  with bullets, and lines of one to three words. It has to stand by itself somewhere. `The ring is red and the bar is
  blue` is not a list, and neither is `red, and it moves`.

Case, punctuation and articles mean nothing, except for a number's sign and point: neither -3 nor .3 is 3. `three` is 3
and `twenty-one` is 21, `third` is 3rd, `none` is 0, `twice` is 2. To a number no reply is right that names another one
(`of 5 people, 3 wear hats`), times such as 0:15 apart, or that bounds it (`at most 3`, `up to 3`, `over 3`). `Yes` and
`no` count as the first word of a reply, except for `no doubt`, or as the last word of a clause. A word with hyphens is
one word: `red` is not in `red-haired`. `and` and commas within an answer are the same.

What it does not see:
- synonyms (`crimson`), other forms (`running`, `ran`), `once` as 1 and `no people` as 0
- numbers in words from a hundred on: `three hundred` is neither 3 nor 300
- `the ring is red and the bar is blue` as `red and blue`, and parts of a list in another order
- sentences that contradict each other without a `not`, and absence without one (`the red hat is missing`)
- negation from further away (`it is not the case that it is red`, `the red hat in the video is not seen`)
- answers to another question in the same reply, a list without any sign (`red blue`)
- a clause in `red, and the bar moves`, which it takes as a list, and the A of `vitamin A` before another word
- words of languages that write without spaces, and any `not` that is not English
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import dropwhile, pairwise
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
    **{"&": "and", "+": "and", "plus": "and", "/": "or", "|": "or"},
}
UNSEEN = dict.fromkeys([0xAD, 0x200C, 0x200D, 0xFEFF, 0x20E3, *range(0xFE00, 0xFE10)])  # in words and pictograms
POINT = re.compile(r"(?<![\w.])\.(?=\d)")
SIGN = re.compile(r"(?<![\w–-])[-–−](?P<money>[$€£¥]?)(?=\d)")
NUMBER = re.compile(r"⁻?\d+(?:\.\d+)?")
PART = re.compile(
    r"(?P<number>⁻?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.:]\d+)*)(?!\w))"
    r"|(?P<word>(?<!\w)(?:[^\W\d_]\.){2,}(?!\w)|[^\W_]+(?:['’][^\W_]+)*(?:\+\+|\#)?)|(?P<end>[.!?\n;:()—…]|\s[-–]+\s|--)|(?P<other>[,/|&+])"
)
BULLET = re.compile(r"^\s*(?:[^\w\s]|\(?(?!q:)\w{1,2}[.):])\s+", re.MULTILINE)
NUMBERED = re.compile(r"(?<!\S)\(?(\d{1,2}|[a-h])[.):]\s+")
LEADING = re.compile(r".*(?:\banswer\b.*|:)|(?:yes|no|sure|it|this|that|they|there)\b.*")  # a line that is in no list
SHORT_LINE = 3  # words of a line that may be one of a list
HYPHENS = "-‐‑–"
ARTICLE = re.compile(r"(?:an?|the)\s+[^\w\s]*\w")  # the a of `vitamin a` is none
END, COMMA = ".", ","
BREAKS = {END, COMMA, "but", "yet", "though", "although", "however", "while", "whereas", "because"}
NEGATED = re.compile(r"(\w+)n't|(is|are|was|were|do|does|did|has|have|had|ca|could|wo|would|should)nt|(can)not")
NEGATING = {
    *("not", "no", "never", "neither", "nor", "without", "non", "0", "nobody", "nothing", "hardly"),
    *("than", "instead", "unlike", "except", "opposed", "if", "whether", "least"),
}
NEAR = 8  # words around an answer that may rule it out or list it
REACH = 3  # words from a negation to what it rules out
WRONG = {"not", "wrong", "incorrect", "false"}
BEING = {
    *("is", "was", "are", "were", "be", "been", "do", "does", "did", "has", "have", "had"),
    *("can", "ca", "could", "will", "wo", "would", "should", "may", "might", "must"),
}
ALL = {"any", "anything", "all", "every", "everything"}  # but not what follows
BOUNDS = (["most", "at"], ["to", "up"], ["over"], ["under"], ["above"], ["below"])  # before a number, backwards
SCALES = {
    *("hundred", "thousand", "million", "billion", "trillion", "dozen", "hundreds", "thousands", "millions", "dozens"),
    *("halves", "thirds", "quarters", "fourths", "fifths", "sixths", "sevenths", "eighths", "ninths", "tenths"),
}  # what makes another number of the one before
CERTAIN = {"doubt", "question", "wonder", "problem", "matter"}  # what has no `no` in it
JOINING = {"and", "or", "nor"}
ASIDES = {
    *("yes", "no", "well", "sure", "okay", "ok", "so", "indeed", "right", "too", "also", "then", "here", "again"),
    *("respectively", "i", "you", "he", "she", "it", "we", "they", "there", "this", "that"),
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
}  # `one` after these counts nothing


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
    """Whether a reply equals a true answer, without case and punctuation, but with a number's sign."""
    return any(_bare(said) == _bare(one) and bool(_bare(one) or said.strip() == one.strip()) for one in answers)


@lru_cache(10_000)
def _bare(text: str) -> str:
    text = normalise(_plain(text))
    return " ".join("".join(one for one in text if unicodedata.category(one)[0] != "P").split())


def _plain(text: str) -> str:
    """Small letters in one form, `⁻` for any minus of a number, and marks as letters, since they belong to words."""
    text = unicodedata.normalize("NFKC", text).lower().translate(UNSEEN)
    text = SIGN.sub(r"\g<money>⁻", POINT.sub("0.", text))
    return "".join(f"ꟸ{ord(one):x}ꟸ" if unicodedata.category(one)[0] == "M" else one for one in text)


def contains(said: str, answers: tuple[str, ...]) -> bool:
    """Whether a reply has a true answer among its words."""
    return exact(said, answers) or any(_has(words(said), words(one)) for one in answers)


def stands_in(part: str, text: str) -> bool:
    """Whether the words of one text stand in another, whatever that says of them."""
    short, long = _texts(part), _texts(text)
    return bool(short) and any(long[start : start + len(short)] == short for start in range(len(long)))


@lru_cache(10_000)
def _texts(text: str) -> tuple[str, ...]:
    return tuple(word.text for word in words(text) if word.text != END)


def overlap(one: str, other: str) -> bool:
    """Whether two answers may both be right, as far as their words say: one of them stands in the other."""
    return exact(one, (other,)) or stands_in(one, other) or stands_in(other, one)


def words(text: str) -> list[Word]:
    """The words of a text without articles, with the ends of its clauses."""
    found: list[Word] = []
    text = _as_list(_plain(text))
    for part in PART.finditer(text):
        written = part[0].replace("’", "'")
        joined = part.start() > 1 and text[part.start() - 1] in HYPHENS and (text[part.start() - 2].isalnum())
        negated = NEGATED.fullmatch(written)
        if part["end"]:
            found += [Word(END, written)] if found and found[-1].text != END else []
        elif part["number"]:
            found.append(Word(_plain_number(written), written, joined))
        elif negated:
            stem = str(negated[negated.lastindex or 0])
            found += [Word(stem, stem, joined), Word("not", "not")]
        elif joined or not ARTICLE.match(text, part.start()):
            plain = re.sub(r"['.]", "", written)
            found.append(Word(FORMS.get(plain, plain), written, joined))
    return _with_tens(found)


def _as_list(text: str) -> str:
    """A text with `/` between the parts of a list: lines with bullets, numbers or letters in a row, short lines."""
    if len(BULLET.findall(text)) > 1:
        return BULLET.sub(" / ", text)
    numbered = set(NUMBERED.findall(text))
    if numbered >= {"1", "2"} or numbered >= {"a", "b"}:
        return NUMBERED.sub(" / ", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    short = all(len(line.split()) <= SHORT_LINE and not LEADING.fullmatch(line) for line in lines)
    return " / ".join(lines) if short and len({*lines}) > 1 else text


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
    first = texts[0] == word and not (word == "no" and texts[1] in CERTAIN)
    return first or any(one == word and after in BREAKS for one, after in pairwise(texts))


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
    """Whether a number is a part of another, as in `three hundred`, or a lone `one` counts nothing, as in `no one`."""
    before = {one.text for one in said[max(start - 1, 0) : start]}
    after = {one.text for one in said[end : end + 1]}
    if after & SCALES or (NUMBER.fullmatch(said[start].text) and before & SCALES):
        return True
    return end - start == 1 and said[start].written == "one" and bool(before & NOT_ONE or after & {"of", "another"})


def _around(said: list[Word], start: int, end: int) -> tuple[list[str], list[str]]:
    """Some words before a place, the nearest first, and some after it."""
    before = [one.text for one in said[max(start - NEAR, 0) : start]]
    return before[::-1], [one.text for one in said[end : end + NEAR]]


def _clause(texts: list[str]) -> list[str]:
    """The words up to the end of a clause."""
    return texts[: next((place for place, text in enumerate(texts) if text in BREAKS), len(texts))]


def _ruled_out(said: list[Word], start: int, end: int) -> bool:
    near, behind = _around(said, start, end)
    after = [*dropwhile(BEING.__contains__, _clause(behind))]
    bounded = NUMBER.fullmatch(said[start].text) and any(near[: len(one)] == one for one in BOUNDS)
    all_but = near[:1] == ["but"] and ALL.intersection(near[1:3])
    return bool(NEGATING.intersection(_clause(near)[:REACH]) or WRONG.intersection(after[:1]) or bounded or all_but)


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
    if (comma or after[:1] == [END]) and after[1:2] in (["or"], ["nor"]):
        return True
    item = _clause(rest[joined:])
    longest = 2 if joined else 1
    short = 0 < len(item) <= longest or bool(JOINING.intersection(item[1 : longest + 1]))
    return (comma or joined) and short and item[0] not in ASIDES
