"""Replaces API Gateway: reads the REST API of the deployed template (`api`) and serves it (`front`).

A request is read (`requests`), matched to a route (`routes`) and authorized (`authorize`, `policies`). The integration
then sends it to a handler (`buffered`) or to a web application (`streaming`). `refusals` renders gateway errors.
"""
