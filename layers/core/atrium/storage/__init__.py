"""Access to the table, blobs, secrets and KMS. Code outside this package uses items and keys and does not call AWS."""
