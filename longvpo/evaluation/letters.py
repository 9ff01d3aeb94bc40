"""The option that a reply names: by its letter, or by its text.

The rule: one, or none. A reply that names two letters is wrong, whatever it says of them, but for those that it rules
out (`B, not A`, `A is wrong`, `A and C are not`). After `the answer is` only what follows counts: a reply may list all
options before. After a letter, an explanation on lines of its own may name others. A letter that stands before the
text of another option does not count. Where a reply names no letter, the only option whose text stands in it is meant,
as `contains` reads it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from longvpo.evaluation.words import contains, exact, stands_in
from longvpo.models.text import normalise
from longvpo.recipe.evaluation import LETTERS

CAPITAL = rf"(?<![A-Za-z0-9'’])[{LETTERS}](?![A-Za-z0-9'’]|-\w)"
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
    rf"|{SEVERAL}{CLOSED}\s+(?:is|are|was|were|can|would|do|does)\s*"
    r"(?:n['’]t|not\b|wrong\b|incorrect\b|false\b|ruled\b|excluded\b)"
)
# A before a small letter or a digit is an article, but before these words and after `option`
LETTER = re.compile(
    rf"\b(?i:option|choice|letter)\s+(?P<named>{ANY})(?![A-Za-z0-9'’])|[(\[{{]\s*(?P<framed>{ANY})\s*[)\]}}]"
    rf"|(?P<capital>{CAPITAL})(?!(?<=A)\s+(?!(?:is|was|or|and|because|since|as)\b)[a-z0-9])"
)
EXPLAINED = re.compile(r"\n[ \t*#>]*(?:explanation|reason|reasoning|rationale|justification)\b\W", re.IGNORECASE)
ALONE = re.compile(rf"\W*(?P<small>{ANY})(?:\W*|[.):,]\s.*)", re.DOTALL)


def option_of(said: str, options: Sequence[str]) -> int | None:
    """The place of the option that a reply names; None where it names none, or more than one."""
    text = unicodedata.normalize("NFKC", said)
    equal = [place for place, option in enumerate(options) if exact(text, (option,))]
    if equal and not ALONE.fullmatch(text):
        return equal[0]
    for option in options:  # the letter of `vitamin C` is none
        if LETTER.search(option) and not ALONE.fullmatch(option):
            text = re.sub(re.escape(option), " ", text, flags=re.IGNORECASE)
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
        rest = normalise(LETTER.sub(" ", text) if LETTER.search(text) else text.strip(" ([*\"'")[1:])
        others = {normalise(option) for number, option in enumerate(options) if number != place}
        return None if rest and rest in others else place
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
