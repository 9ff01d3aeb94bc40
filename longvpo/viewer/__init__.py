"""Triplets and results as one static page. The page uses no network, and shows what strangers wrote only as text."""
