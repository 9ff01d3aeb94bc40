"""A file and times in, frames out. It knows no source and no model."""
