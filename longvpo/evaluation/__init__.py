"""A base and its adapters are measured: run.py has the main steps. This room imports no dataset and no training."""
