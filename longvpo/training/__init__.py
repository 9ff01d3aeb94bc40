"""An adapter is trained: run.py is the straight line, plan.py the dry run. It imports neither dataset nor evaluation."""
