"""The option that a reply names: by its letter, or by its text.

The rule: one, or none. A reply that names two letters is wrong. Letters that it rules out do not count (`B, not A`, `A
is wrong`, `A and C are not`), nor do those in the text of its own letter's option. After `the answer is` only what
follows counts: a reply may list all options before. After a letter, an explanation on lines of its own may name
others. A letter before the text of another option does not count. Neither does one in a short form (`10 A.M.`,
`U.S.A.`), nor an A before a word that it may belong to (`A man`, `A Toyota`). Where a reply names no letter, the only
option whose text stands in it is meant, as `contains` reads it.

What it does not see: that a letter names something else (`vitamin D`, `Plan B`), but where an option says it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from longvpo.evaluation.words import contains, exact, stands_in
from longvpo.recipe.evaluation import LETTERS

# points join the letters of U.S.A.
CAPITAL = rf"(?<![A-Za-z0-9'’])(?<!\b[A-Za-z]\.)[{LETTERS}](?![A-Za-z0-9'’]|-\w|\.[A-Za-z]\b)"
ANY = rf"[{LETTERS}{LETTERS.lower()}]"
AROUND = r"[\s(\[{*\"'“`$]*+"  # what may stand before a letter
DECLARED = re.compile(
    r"\b(?:answer|option|choice|letter)\b(?:\s+(?:to|for)\s[^.\n]{0,80}?)?[\s*\"'”`]*"
    r"(?::|=|(?:is|was|would\s+be|should\s+be|must\s+be|could\s+be)(?=[\s:*(\[]))",
    re.IGNORECASE,
)
NOT = (
    r"(?i:\b(?:not|cannot|never|neither|nor|than|instead\s+of|except|unlike|(?:rul|eliminat|exclud)(?:e|es|ed|ing)(?:\s+out)?)"
    r"|n['’]t)"
)
CLOSED = r"[)\]*\"'”`]*+"
BOTH = rf"{CAPITAL}(?:{CLOSED}\s+(?:and|or)\s{AROUND}{CAPITAL}){{,7}}"
SEVERAL = rf"{CAPITAL}(?:{CLOSED}(?:\s*,(?:\s*(?:and|or)\s)?|\s+(?:and|or)\s){AROUND}{CAPITAL}){{,7}}"
RULED_OUT = re.compile(
    rf"{NOT}\s+(?:(?:be|options?|answers?|choices?|letters?)\s+)?{AROUND}{BOTH}"
    rf"|{SEVERAL}{CLOSED}\s+(?:is|are|was|were|can|could|would|do|does)\s*(?:be\s+)?"
    r"(?:n['’]t|not\b|wrong\b|incorrect\b|false\b|ruled\b|excluded\b|eliminated\b)"
)
# A before a small letter, a digit or a name is an article, but before these words and after `option`
ARTICLE = (
    r"(?<=A)(?!\s+(?i:is|was|or|and|because|since|as|the|it|this|that|explanation|reason)\b)"
    r"(?:\s+[a-z0-9]|[ \t]+[A-Z][A-Za-z])"
)
LETTER = re.compile(
    rf"\b(?i:option|choice|letter)\s+(?P<named>{ANY})(?![A-Za-z0-9'’])|[(\[{{]\s*(?P<framed>{ANY})\s*[)\]}}]"
    rf"|(?P<capital>{CAPITAL})(?!{ARTICLE})"
)
EXPLAINED = re.compile(r"\n[ \t*#>]*(?:explanation|reason|reasoning|rationale|justification)\b\W", re.IGNORECASE)
OWN = re.compile(rf"\W*(?P<letter>{ANY})[^\w\s]+\s+(?P<text>.+)", re.DOTALL)
HIDDEN = 0xE000  # in no language: the first of the characters that replace options with letters in them
ALONE = re.compile(rf"\W*(?P<small>{ANY})(?:\W*|[.):,]\s.*)", re.DOTALL)


def option_of(said: str, options: Sequence[str]) -> int | None:
    """The place of the option that a reply names; None where it names none, or more than one."""
    text = unicodedata.normalize("NFKC", said)
    equal = [place for place, option in enumerate(options) if exact(text, (option,))]
    if equal and not ALONE.fullmatch(text):
        return equal[0]
    own = OWN.fullmatch(text)
    place = LETTERS.index(own["letter"].upper()) if own else len(options)
    if own and exact(own["text"], tuple(options[place : place + 1])):
        return place
    hidden = {}
    for place, option in sorted(enumerate(options), key=lambda one: -len(one[1])):
        if LETTER.search(option) and not ALONE.fullmatch(option):  # the letter of `vitamin C` is none
            hidden[HIDDEN + place] = option
            text = re.sub(re.escape(option), chr(HIDDEN + place), text, flags=re.IGNORECASE)
    declared = DECLARED.search(text)
    text = RULED_OUT.sub(" ", text[declared.end() :] if declared else text)
    head = EXPLAINED.split(text, maxsplit=1)[0]
    text = head if LETTER.search(head) or ALONE.fullmatch(head) else text
    found = [*LETTER.finditer(text)] or [one for one in [ALONE.fullmatch(text)] if one]
    named = {str(one[one.lastgroup or 0]).upper() for one in found} & set(LETTERS[: len(options)])
    if len(named) > 1:
        return None
    if named:
        place = LETTERS.index(named.pop())
        rest = LETTER.sub(" ", text) if LETTER.search(text) else text.strip(" ([*\"'")[1:]
        others = tuple(option for number, option in enumerate(options) if number != place)
        return None if exact(rest.translate(hidden), others) else place
    return _by_text(said, options)


def _by_text(said: str, options: Sequence[str]) -> int | None:
    """The only option whose text a reply has, or what it has after `the answer is`; one that stands within another's
    text is not meant.
    """
    declared = DECLARED.search(said)
    found: list[int] = []
    for part in ([said[declared.end() :]] if declared else []) + [said]:
        found = [place for place, option in enumerate(options) if contains(part, (option,))]
        if any(stands_in(option, part) for option in options):
            break
    whole = [
        place for place in found if not any(stands_in(options[place], options[one]) for one in found if one != place)
    ]
    return whole[0] if len(whole) == 1 else None
