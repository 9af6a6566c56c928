"""Merges the functions' OpenAPI documents. `python -m infra.openapi` writes the result; `--check` only compares it."""
