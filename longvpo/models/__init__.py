"""Other people's models: loaded, encoded for, embedded with, asked. No module knows what a triplet is."""
