"""A base and adapters are measured: run.py is the straight line. Dataset and training stay out."""
