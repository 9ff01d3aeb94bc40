"""From a row of a source to a clip and a context. No module asks a model for text."""
