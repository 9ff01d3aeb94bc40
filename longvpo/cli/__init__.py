"""The command line: each command parses, calls one function and prints one result. Nobody imports this room."""

from longvpo.cli.main import main

__all__ = ["main"]
