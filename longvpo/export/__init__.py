"""Triplets in, a folder in another tool's format out. This room loads no model, and sends nothing from this
machine."""
