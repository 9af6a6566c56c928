"""The client for outbound calls. It opens one HTTP/1.1 connection for each request and each redirect.

The client does not reuse connections, and does not use proxies, cookies or environment settings. By default, it follows
at most three redirects. Each redirect URL is checked in the same way as the first URL. If a redirect changes the
origin, the client removes the caller's headers except `accept`, `accept-language` and `user-agent`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from ssl import SSLCertVerificationError, SSLContext, SSLError

import httpcore2

from atrium.egress.backend import Deadline, PinnedAddressBackend, Resolver, resolve_name
from atrium.egress.destination import Destination, Rules, read_redirect, read_url
from atrium.egress.exchange import (
    OutboundRequest,
    OutboundResponse,
    check_headers,
    check_method,
    read_answer,
    wire_headers,
)
from atrium.egress.failures import OutboundFailed, OutboundRefused

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CROSS_ORIGIN_HEADERS = frozenset({"accept", "accept-language", "user-agent"})


@dataclass(frozen=True, slots=True)
class EgressClient:
    """Makes outbound calls for tenants. Stateless and thread-safe."""

    rules: Rules = field(default_factory=Rules)
    resolve: Resolver = resolve_name
    ssl_context: SSLContext | None = None

    def send(self, request: OutboundRequest) -> OutboundResponse:
        """Send a request and follow redirects; raise `OutboundRefused` or `OutboundFailed`.

        If `redirects_max` is 0, a redirect is returned in the same way as any other response.
        """
        deadline = Deadline(request.seconds_max)
        there = read_url(request.url, self.rules)
        method, headers, body = check_method(request.method), check_headers(request.headers), request.body
        for _ in range(request.redirects_max + 1):
            answer = self._hop(there, method, headers, body, request.bytes_max, deadline)
            location = answer.headers.get("location", "")
            if answer.status not in _REDIRECTS or not location or request.redirects_max == 0:
                return answer
            here, there = there, read_redirect(there, location, self.rules)
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = ("HEAD" if method == "HEAD" else "GET"), b""
                headers = {name: value for name, value in headers.items() if name != "content-type"}
            if there.origin != here.origin:
                headers = {name: value for name, value in headers.items() if name in _CROSS_ORIGIN_HEADERS}
                if body or method not in ("GET", "HEAD"):
                    raise OutboundRefused(
                        "redirect", "the redirect is to another host, and the request body is not sent to another host"
                    )
        raise OutboundRefused("redirect", f"the call was redirected more than {request.redirects_max} times")

    def _hop(
        self,
        there: Destination,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        bytes_max: int,
        deadline: Deadline,
    ) -> OutboundResponse:
        backend = PinnedAddressBackend(self.rules, self.resolve, there.scheme, deadline)
        context = self.ssl_context or _trust()
        call = httpcore2.Request(
            method,
            httpcore2.URL(scheme=there.scheme, host=there.host, port=there.port, target=there.target),
            headers=wire_headers(there, method, headers, body),
            content=body,
        )
        try:
            with httpcore2.ConnectionPool(ssl_context=context, network_backend=backend) as pool:
                answer = pool.handle_request(call)
                try:
                    return read_answer(answer, there.url, bytes_max)
                finally:
                    answer.close()
        except httpcore2.TimeoutException as error:
            raise OutboundFailed("timeout", "the call timed out") from error
        except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol) as error:
            raise OutboundFailed("protocol", "the response is not valid HTTP") from error
        except (httpcore2.NetworkError, OSError) as error:
            if _is_about_tls(error):
                raise OutboundFailed("tls", "the host's TLS certificate is not valid for its name") from error
            raise OutboundFailed("connect", "the connection failed") from error


def _is_about_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, SSLError | SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


@cache
def _trust() -> SSLContext:
    """Return the TLS context with the default root certificates, which environment variables cannot replace."""
    import httpx2

    return httpx2.create_ssl_context(trust_env=False)
