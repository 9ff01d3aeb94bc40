"""A kit for LongVPO: a recipe turns clips into preference triplets, TRL trains on them, and the result is measured."""
