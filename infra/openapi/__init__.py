"""One OpenAPI document of all functions: `python -m infra.openapi` writes it, `--check` tells whether it is stale."""
