"""Commands about this installation."""

from __future__ import annotations

from longvpo.cli import options
from longvpo.cli.printing import print_values


def env(as_json: options.AsJson = False) -> None:
    """Print versions and devices of this machine, for an issue.

    It also prints decoders and caches, but no path and no token.

    Example: longvpo env --json
    """
    from longvpo.release.machine import told_of_machine

    print_values(told_of_machine(), as_json)
