"""Access to the table, blobs, secrets and KMS. The code above uses items and keys, not AWS."""
