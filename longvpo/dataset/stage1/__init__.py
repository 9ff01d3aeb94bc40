"""Stage 1: questions about one short clip, hidden among distractors."""
