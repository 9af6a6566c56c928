"""A scripted server for the APIs of Anthropic, OpenAI and Zhipu. Run it with `python -m infra.local.model_server`, or
with `running()` in tests.

Directives in the user's text control the response, for example delays, tool calls and failures
(infra/docs/model-server.md).

`protocol` contains the parts that requests and responses share. `request` validates requests with the content blocks
of `blocks`, `script` reads directives, `answer` chooses the response and `exchange` sends it. For the Chat Completions
API, `chat_request` translates the request and `chat_answer` writes the response. `request_log` records requests, and
`server` contains the routes and the process.
"""

from infra.local.model_server.server import ModelServer, running

__all__ = ["ModelServer", "running"]
