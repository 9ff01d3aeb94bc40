"""A dataset is built: run.py is the straight line, plan.py the dry run. Training and evaluation stay out."""
