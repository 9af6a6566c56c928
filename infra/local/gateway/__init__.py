"""Plays API Gateway from the REST API of the deployed template: api.py reads it, front.py serves it.

A request is read (requests.py), matched (routes.py), authorized (authorize.py, policies.py) and integrated: buffered.py
for handlers, streaming.py for web applications. What the gateway itself refuses is rendered by refusals.py.
"""
