"""Runs built Lambda artifacts on this machine without a container.

api.py is the Lambda Runtime API as a function sees it, artifact.py starts a built function against it, build.py
makes the artifacts, invoke.py is `make invoke`.
"""
