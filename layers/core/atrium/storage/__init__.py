"""The only way to the table and to blobs. Everything above speaks of items and keys, not of AWS."""
