"""Texts of the OpenAPI document that do not belong to a function: title, description, and tags in display order."""

from atrium.http.app import VERSION

INFO = {
    "title": "Atrium",
    "version": VERSION,
    "summary": "Multi-tenant agent platform",
    "description": (
        "Send `Authorization: Bearer <API key or access token>`, or an API key as `x-api-key`. Refusals are "
        "`application/problem+json` with a stable `code`, each explained at `/docs/errors`. Lists are paged by "
        "signed cursors. A POST that creates or spends honours `Idempotency-Key` for 24 hours. Times are RFC 3339 "
        "in UTC, money is decimal text in USD, tokens are integers. Types are strict; unknown fields and query "
        "parameters are refused. Examples work unchanged on a new local stack (`make dev`) with the API keys of its "
        "`.local/dev.json`: the first tenant's, and the platform's for what needs the scope `platform`. "
        "`x-example-login` names a user (password `correct-horse-battery`) whose access token is needed instead."
    ),
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}

TAGS = {
    "chat": "Send a message to an agent; the answer is one object or a stream of events.",
    "compatible": "The same in the formats of OpenAI's and Anthropic's APIs, streams and errors included.",
    "models": "Models that the caller may use, with limits and prices.",
    "runs": "The record of a turn: status, events, result.",
    "sessions": "Conversations and their messages.",
    "files": "Files of the tenant, which its programs and the tools of its agents share.",
    "agents": "Agents: model, prompt, tools and limits.",
    "tools": "Built-in tools, and the tenant's HTTP tools.",
    "routing": "Routing rules, which choose the model of a turn whose model is `auto`.",
    "prompts": "Prompt templates with versions, from which the system prompts of agents are rendered.",
    "model keys": "The tenant's own API keys for model providers.",
    "data sets": "Uploaded tables, and read-only SQL queries over them.",
    "identity": "The caller's identity, and the public keys of access tokens.",
    "users": "Users of the tenant: invite, update, suspend, delete.",
    "keys": "API keys of the tenant.",
    "policies": "Access policies of the tenant.",
    "settings": "Settings of the tenant.",
    "audit": "The audit log.",
    "identity providers": "Sign-in with the tenant's own OpenID Connect issuers, Google, GitHub and Slack.",
    "connections": "The caller's accounts at providers, which tools use on their behalf.",
    "clients": "OAuth clients of the tenant.",
    "oauth": "The OAuth 2.1 authorization server.",
    "usage": "Usage and its cost.",
    "signing keys": "The keys that sign access tokens, and their rotation.",
    "tenants": "Tenants, managed by the platform's operator.",
    "health": "Health of the platform.",
    "contract": "This document.",
}
