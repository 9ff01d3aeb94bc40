"""The embedded model and its drawn world, for the demo and the tests."""
