"""Commands about this installation."""

from __future__ import annotations

from longvpo.cli import options
from longvpo.cli.printing import print_values


def env(as_json: options.AsJson = False) -> None:
    """Print versions, devices, decoders and caches of this machine, to be pasted into an issue: no path, no token."""
    from longvpo.release.machine import told_of_machine

    print_values(told_of_machine(), as_json)
