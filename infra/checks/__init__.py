"""Checks of the repository that no linter knows.

`python -m infra.checks.template` the deployment, `.size` the code, `.words` every file, `.artifacts` what was built,
`.expansion` what SAM makes of the template. A check is a function that yields one clear line per finding.
"""
