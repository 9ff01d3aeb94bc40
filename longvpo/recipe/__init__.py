"""What may be said: recipes, their sections, files and prompts. It loads no torch and asks no network."""
