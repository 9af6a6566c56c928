"""Descriptions of the OAuth providers. All differences between the providers are fields of a description.

`Description.at` replaces the base of all URLs of a provider. The local stack uses it for its fake providers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args
from urllib.parse import urlsplit

type ProviderName = Literal["google", "github", "slack"]
type Purpose = Literal["sign_in", "connect"]

PROVIDER_NAMES: tuple[ProviderName, ...] = get_args(ProviderName.__value__)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The authorization and token endpoints for one purpose. `scopes` are the default scopes.

    `tokens_in` is the member of the token response that contains the user's tokens. If it is empty, the tokens are at
    the top level of the response.
    """

    authorize: str
    token: str
    scopes: tuple[str, ...]
    scope_parameter: str = "scope"
    scope_separator: str = " "
    parameters: Mapping[str, str] = field(default_factory=dict)
    tokens_in: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """The description of an OAuth provider.

    If `keys` is empty, the provider issues no id tokens, and the profile is read from the URLs `user_info` and
    `emails`. `subject` is the claim that identifies the user. `api_hosts` are the patterns of the hosts to which tools
    may send a user's access token.
    """

    name: ProviderName
    title: str
    issuer: str
    sign_in: Endpoints
    connect: Endpoints
    api_hosts: tuple[str, ...]
    keys: str = ""
    user_info: str = ""
    emails: str = ""
    subject: str = "sub"

    def endpoints(self, purpose: Purpose) -> Endpoints:
        return self.sign_in if purpose == "sign_in" else self.connect

    def at(self, base: str) -> "Description":
        """Return the provider with `<base>/<name>` as the base of all URLs. If `base` is empty, no URL is changed."""
        if not base:
            return self

        def move(url: str) -> str:
            return f"{base}/{self.name}{urlsplit(url).path}" if url else ""

        def moved(each: Endpoints) -> Endpoints:
            return replace(each, authorize=move(each.authorize), token=move(each.token))

        return replace(
            self,
            sign_in=moved(self.sign_in),
            connect=moved(self.connect),
            keys=move(self.keys),
            user_info=move(self.user_info),
            emails=move(self.emails),
        )


_GOOGLE = Endpoints(
    "https://accounts.google.com/o/oauth2/v2/auth",
    "https://oauth2.googleapis.com/token",
    ("openid", "email", "profile"),
)
_GITHUB = Endpoints(
    "https://github.com/login/oauth/authorize",
    "https://github.com/login/oauth/access_token",
    ("read:user", "user:email"),
)

DESCRIPTIONS: Mapping[ProviderName, Description] = {
    "google": Description(
        "google",
        "Google",
        "https://accounts.google.com",
        _GOOGLE,
        # Google returns a refresh token only for `offline` access. A repeated connection also requires a new consent.
        replace(_GOOGLE, parameters={"access_type": "offline", "prompt": "consent"}),
        ("*.googleapis.com",),
        keys="https://www.googleapis.com/oauth2/v3/certs",
    ),
    "github": Description(
        "github",
        "GitHub",
        "https://github.com",
        _GITHUB,
        _GITHUB,
        ("api.github.com", "uploads.github.com"),
        user_info="https://api.github.com/user",
        emails="https://api.github.com/user/emails",
        subject="id",
    ),
    "slack": Description(
        "slack",
        "Slack",
        "https://slack.com",
        Endpoints(
            "https://slack.com/openid/connect/authorize",
            "https://slack.com/api/openid.connect.token",
            ("openid", "email", "profile"),
        ),
        Endpoints(
            "https://slack.com/oauth/v2/authorize",
            "https://slack.com/api/oauth.v2.access",
            ("users:read",),
            scope_parameter="user_scope",
            scope_separator=",",
            tokens_in="authed_user",
        ),
        ("slack.com", "files.slack.com"),
        keys="https://slack.com/openid/connect/keys",
        user_info="https://slack.com/api/openid.connect.userInfo",
    ),
}


def describe(name: str, base: str) -> Description | None:
    """Return the provider with this name, with its URLs moved to `base`, or None if the name is unknown."""
    known = next((each for each in PROVIDER_NAMES if each == name), None)
    return DESCRIPTIONS[known].at(base) if known else None
