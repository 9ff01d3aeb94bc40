"""Triplets in; a folder in another tool's form out. It loads no model, and what it writes stays on this machine."""
