"""The embedded model and its drawn world: what the demo and the tests run on."""
