"""A dataset is built: run.py is the straight line, plan.py the dry run. It imports neither training nor evaluation."""
