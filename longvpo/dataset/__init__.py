"""A dataset is built: run.py has the main steps, plan.py the dry run. This room imports no training and no
evaluation."""
