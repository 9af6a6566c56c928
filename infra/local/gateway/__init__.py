"""Replaces API Gateway: reads the REST API of the deployed template (`api`) and serves it (`front`).

A request is read (`requests`), matched (`routes`), authorized (`authorize`, `policies`) and integrated: `buffered` for
handlers, `streaming` for web applications. `refusals` renders the gateway's own error responses.
"""
