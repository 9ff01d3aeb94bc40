"""Stage 2: questions about long videos that need several scenes."""
