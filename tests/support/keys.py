"""The page of all keys of recipes, recipes/KEYS.md:

PYTHONPATH=tests python -m support.keys > recipes/KEYS.md
"""

from __future__ import annotations

from longvpo.recipe.keys import parts_of

LONGEST = 60  # characters of a default; `longvpo recipes --keys SECTION --json` has prompts whole


def page() -> str:
    lines = [
        "# Keys of recipes",
        "",
        "All that a recipe may say. `longvpo recipes --keys SECTION` prints a part of it, such as `train.lora`.",
        "Written by `PYTHONPATH=tests python -m support.keys > recipes/KEYS.md`, and held by the tests.",
        "",
        "`extends: NAME` may stand in every recipe and in every section: see [README.md](README.md).",
    ]
    for part in parts_of():
        lines += ["", f"## {part.name}", "", *([part.about, ""] if part.about else [])]
        lines += ["| key | type | default | what it says |", "|---|---|---|---|"]
        for key in part.keys:
            default = " ".join(key.default.split())
            default = default if len(default) <= LONGEST else default[: LONGEST - 4] + " ..."
            cells = (f"`{key.key}`", key.type, f"`{default}`", key.description)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
