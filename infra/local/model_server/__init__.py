"""A scripted server that speaks Anthropic's Messages API: `python -m infra.local.model_server`, in tests `running()`.

Directives in the user's text make it delay, call tools, fail or hang: infra/docs/model-server.md.

`protocol` has what requests and answers share; `request` validates, `script` reads directives, `answer` decides the
answer, `exchange` sends it, `request_log` records it, and `server` has the routes and the process.
"""

from infra.local.model_server.server import ModelServer, running

__all__ = ["ModelServer", "running"]
