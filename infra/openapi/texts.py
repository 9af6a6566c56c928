"""What the document says of the whole, and of its parts in the order of reading."""

from atrium.http.app import VERSION

INFO = {
    "title": "Atrium",
    "version": VERSION,
    "summary": "Agents for many tenants, over HTTPS",
    "description": (
        "Send `Authorization: Bearer <API key or access token>`, or an API key as `x-api-key`. Refusals are "
        "`application/problem+json` with a stable `code`, each explained at `/docs/errors`. Lists are paged by "
        "signed cursors. A POST that creates or spends honours `Idempotency-Key` for 24 hours. Times are RFC 3339 "
        "in UTC, money is decimal text in USD, tokens are integers. Types are strict; unknown fields and query "
        "parameters are refused."
    ),
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}

TAGS = {
    "chat": "Ask an agent, at once or as a stream of events.",
    "runs": "What became of a turn: its state, its events, its end.",
    "sessions": "Conversations and their messages.",
    "agents": "Who answers: model, prompt, tools and limits of an agent.",
    "identity": "Who the caller is, and the keys that tokens are signed with.",
    "users": "People of the tenant: invited, changed, suspended, removed.",
    "keys": "API keys of the tenant.",
    "policies": "Who may do what to what, and when.",
    "settings": "What a tenant sets for itself.",
    "audit": "What happened, by whom, from where.",
    "identity providers": "What a tenant's people come in through: its own issuers, and Google, GitHub and Slack.",
    "connections": "The caller's accounts at providers, for tools to use in his name.",
    "clients": "OAuth clients of the tenant.",
    "oauth": "The OAuth 2.1 server: tokens for clients, and what it can do.",
    "usage": "What was used, and what it cost.",
    "signing keys": "The keys that sign access tokens, and how one follows another.",
    "tenants": "The operator's view of the platform's tenants.",
    "health": "Whether the platform answers.",
    "contract": "This document.",
}
