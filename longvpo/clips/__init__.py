"""From a row of a source to a clip and a context. No module here asks a model for text."""
