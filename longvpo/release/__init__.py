"""Files in; a card, pictures, parquet and one commit on the Hub out. It loads no model; no other room writes there."""
