"""An adapter is trained: run.py has the main steps, plan.py the dry run. This room imports no dataset and no
evaluation."""
