"""Runs the stack's functions as Lambda does: each execution environment serves one request at a time and is reused.

`handlers` runs a Python handler with AWS's runtime client, and `web` runs a web application as the web adapter does.
`pool` manages the environments of one function, and `service` manages all functions. `invoke_proxy` receives the
emulator's invocations.
"""
