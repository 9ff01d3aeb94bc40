"""The versions that the tests ran with, constraints.txt, from environments of the oldest and of the newest Python:

PYTHONPATH=tests python -m support.constraints .venv-3.11/bin/python .venv-3.13/bin/python > constraints.txt
"""

from __future__ import annotations

import subprocess
import sys

# longvpo is what is installed, and pip installs it; what the others are is decided by who installs
LIST = ["-m", "pip", "list", "--format=freeze", "--exclude-editable", "--exclude=longvpo", "--exclude=pip"]
HEAD = """\
# What longvpo was tested with, on Python {oldest} and {newest}, Linux and x86-64. To install the same versions:
#     pip install -c constraints.txt longvpo
# A line here installs nothing by itself. Made by `python -m support.constraints`: CONTRIBUTING.md.
"""


def installed(python: str) -> tuple[str, dict[str, str]]:
    """The version of a Python, such as 3.11, and the versions of the packages that are installed there, by name.

    A local part of a version, such as `+cpu`, is left out: `2.14.1` allows it as well.
    """
    asked = [[python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], [python, *LIST]]
    said = [subprocess.run(one, capture_output=True, text=True, check=True).stdout for one in asked]
    pairs = (line.split("==") for line in said[1].splitlines())
    return said[0].strip(), {name.lower().replace("_", "-"): version.partition("+")[0] for name, version in pairs}


def page(oldest: str, before: dict[str, str], newest: str, after: dict[str, str]) -> str:
    """The file: a line for a package that has one version, and one for each Python where it has two."""
    lines = []
    for name in sorted(before | after):
        old, new = before.get(name), after.get(name)
        if old and new and old != new:
            lines += [f'{name}=={old}; python_version <= "{oldest}"', f'{name}=={new}; python_version > "{oldest}"']
        else:
            lines.append(f"{name}=={old or new}")
    return HEAD.format(oldest=oldest, newest=newest) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(*installed(sys.argv[1]), *installed(sys.argv[2])), end="")
