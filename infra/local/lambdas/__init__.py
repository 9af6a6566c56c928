"""Runs the stack's functions as Lambda does: environments of one request at a time, made when needed, reused, retired.

handlers.py runs a Python handler under AWS's own runtime client, web.py a web application as the web adapter would;
pool.py keeps the environments of one function, service.py knows all functions, inlet.py is where the emulator calls.
"""
