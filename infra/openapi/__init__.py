"""Merges the functions' OpenAPI documents.

`python -m infra.openapi` writes the result. With `--check`, it compares the result with the committed files.
"""
