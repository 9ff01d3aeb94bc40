"""Recipes: their sections, files and prompts. This room loads no torch and uses no network."""
