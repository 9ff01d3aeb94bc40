"""The command line: each command parses, calls one function and prints one result. No other room imports this one."""

from longvpo.cli.main import main

__all__ = ["main"]
