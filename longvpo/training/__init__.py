"""An adapter is trained: run.py is the straight line, plan.py the dry run. Dataset and evaluation stay out."""
