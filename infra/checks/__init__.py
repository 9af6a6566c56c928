"""Checks of the repository that no linter has.

`template` checks the deployment, `expansion` what SAM makes of the template, `size` the code, `words` and `glossary`
every text, `artifacts` what was built. A check is a function that yields one line per finding.
"""
