"""A scripted server for Anthropic's Messages API: `python -m infra.local.model_server`, or `running()` in tests.

Directives in the user's text control the response, for example delays, tool calls and failures
(infra/docs/model-server.md).

`protocol` contains the parts that requests and responses share. `request` validates requests with the content blocks
of `blocks`, `script` reads directives, `answer` chooses the response and `exchange` sends it. `request_log` records
requests, and `server` contains the routes and the process.
"""

from infra.local.model_server.server import ModelServer, running

__all__ = ["ModelServer", "running"]
