"""Runs the stack's functions as Lambda does: each execution environment serves one request at a time and is reused.

`handlers` runs a Python handler under AWS's runtime client, `web` runs a web application as the web adapter would,
`pool` keeps the environments of one function, `service` has all functions, `invoke_proxy` is called by the emulator.
"""
