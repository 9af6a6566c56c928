"""The consent page, on which a user logs in and allows a client to act for them: HTML without scripts.

All values are escaped. The content security policy allows the form to be sent only to this server, which redirects to
the client's redirect URI.
"""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}"
    "h1{font-size:1.4rem}label{display:block;margin:1rem 0 .25rem}"
    "input{font:inherit;width:100%;padding:.5rem;box-sizing:border-box;border:1px solid #888;border-radius:.3rem}"
    "button{font:inherit;padding:.6rem 1.2rem;margin:1.5rem .5rem 0 0;border-radius:.3rem;border:1px solid #888}"
    "button.yes{background:#1d4ed8;border-color:#1d4ed8;color:#fff}.fault{color:#b91c1c;font-weight:600}"
    "small{display:block;margin-top:1.5rem;opacity:.8;overflow-wrap:anywhere}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

MEANINGS = {
    "chat": "send messages to agents, at your tenant's cost",
    "sessions:read": "read your conversations and the tenant's files",
    "sessions:write": "create, change and delete your conversations and the tenant's files",
    "jobs:read": "see your jobs",
    "jobs:write": "start and cancel jobs",
    "agents:read": "see the tenant's agents and tools, and read its data sets",
    "agents:write": "create, change and delete agents, and create and delete data sets",
    "usage:read": "see usage and cost",
    "admin": "administer the tenant: users, API keys, policies and all other resources",
    "openid": "know who you are",
    "email": "see your email address",
    "profile": "see your name",
}


def render_consent(
    *,
    action: str,
    client_name: str,
    tenant_name: str,
    redirect_uri: str,
    scopes: Iterable[str],
    hidden: Iterable[tuple[str, str]],
    email: str = "",
    fault: str = "",
) -> HTMLResponse:
    """Return the consent page. `fault` is the error message if the form is shown again."""
    wishes = "".join(f"<li>{escape(MEANINGS.get(scope, scope))}</li>" for scope in scopes)
    fields = "".join(f'<input type="hidden" name="{escape(name)}" value="{escape(text)}">' for name, text in hidden)
    warning = f'<p class="fault" role="alert">{escape(fault)}</p>' if fault else ""
    content = f"""<h1>{escape(client_name)} wants to act for you</h1>
<p>Log in to <strong>{escape(tenant_name)}</strong> to let <strong>{escape(client_name)}</strong>:</p>
<ul>{wishes}</ul>
{warning}<form method="post" action="{escape(action)}">{fields}
<label for="email">Email</label>
<input id="email" name="email" type="email" autocomplete="username" value="{escape(email)}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password">
<button class="yes" name="decision" value="allow">Log in and allow</button>
<button name="decision" value="deny" formnovalidate>Deny</button>
</form>
<small>You will be sent to {escape(_show_target(redirect_uri))}. Your password is not sent there.</small>"""
    return _page("Log in and allow", content, 401 if fault else 200, _form_target(redirect_uri))


def render_fault(message: str) -> HTMLResponse:
    """Return the error page for a request without a valid redirect URI."""
    content = f"""<h1>This link does not work</h1>
<p class="fault" role="alert">{escape(message)}</p>
<p>Report this to the developers of the application that sent you here. You can close this page.</p>"""
    return _page("This link does not work", content, 400, "")


def _page(title: str, content: str, status: int, target: str) -> HTMLResponse:
    form = f"form-action 'self' {target}".rstrip() if target else "form-action 'none'"
    policy = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; {form}; base-uri 'none'; frame-ancestors 'none'"
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)} · Atrium</title>'
        f"<style>{_STYLE}</style></head><body><main>{content}</main></body></html>"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(text, status, headers)


def _form_target(redirect_uri: str) -> str:
    """Return the CSP source of the redirect URI, because browsers also apply `form-action` to the redirect.

    CSP has no syntax for IPv6 addresses. For a redirect URI with an IPv6 address, the source allows any host with
    the same port.
    """
    parts = urlsplit(redirect_uri)
    if parts.scheme not in {"http", "https"}:
        return f"{parts.scheme}:"
    if ":" in (parts.hostname or ""):
        return f"{parts.scheme}://*" + (f":{parts.port}" if parts.port else "")
    return f"{parts.scheme}://{parts.netloc}"


def _show_target(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    return parts.netloc or f"the application for {parts.scheme}: links"
