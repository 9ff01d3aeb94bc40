"""Other people's models: load them, encode inputs for them, embed with them, ask them. This room knows no triplets."""
