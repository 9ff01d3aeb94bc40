"""Triplets and results as one static page: it asks no network, and what strangers wrote stays text."""
