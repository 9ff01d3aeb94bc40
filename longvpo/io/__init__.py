"""Files, folders and requests: complete or not at all. This room knows no recipe, no video and no model."""
