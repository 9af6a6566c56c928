"""Runs built Lambda artifacts on this machine without a container.

`api` is the Lambda Runtime API, `artifact` starts a built function against it, `build` builds the artifacts, `sandbox`
provides AWS and a model server, `invoke` is `make invoke`.
"""
