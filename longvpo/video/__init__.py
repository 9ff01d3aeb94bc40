"""A file and times in, frames out. This room knows no source and no model."""
