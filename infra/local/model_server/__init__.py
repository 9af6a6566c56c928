"""A scripted server that speaks Anthropic's Messages API: `python -m infra.local.model_server`, in tests `running()`.

Directives in the user's text make it delay, call tools, fail or hang: infra/docs/model-server.md.
"""

from infra.local.model_server.hosting import ModelServer, running

__all__ = ["ModelServer", "running"]
