"""LongVPO as a kit: a recipe turns clips into preference triplets, TRL trains on them, and the results are measured."""
