"""Checks of the repository that linters do not provide.

`template` checks template.yaml, and `expansion` checks the template after SAM's transform. `size` checks the code,
`words` and `glossary` check all texts, and `artifacts` checks the build. A check is a function that yields one line per
finding.
"""
