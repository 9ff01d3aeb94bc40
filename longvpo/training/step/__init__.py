"""One optimizer step: packed rows, vision features, the anchored loss."""
