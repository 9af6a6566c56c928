"""Creates the first credentials of a deployment: `python -m infra.bootstrap --env dev`.

The local stack uses the same functions.
"""
