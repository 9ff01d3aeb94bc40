"""Files, folders and requests: whole or not at all. It knows no recipe, no video and no model."""
