"""Runs the stack's functions like Lambda: each execution environment serves one request at a time and is reused.

`handlers` runs a Python handler with AWS's runtime client, and `web` runs a web application like the web adapter.
`pool` manages the environments of one function, `service` manages all functions, and the emulator calls `invoke_proxy`.
"""
