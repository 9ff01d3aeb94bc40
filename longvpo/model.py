"""The name under which cards of the first releases import the embedded model's folder."""

from longvpo import TINY

__all__ = ["TINY"]
