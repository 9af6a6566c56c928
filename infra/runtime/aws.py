"""Serves AWS on 127.0.0.1 with moto, for functions that run in separate processes.

moto's own server needs Flask and has no lock. This server serialises all calls with a lock, because moto is not
thread-safe and conditional writes must be exact. The AWS service is read from the signature's credential scope.
"""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import BotocoreStubber

from infra.runtime.resources import Endpoint
from infra.runtime.server import LoopbackHandler, LoopbackServer
from infra.runtime.template import ROOT

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
_LOCK = threading.Lock()


class AwsHandler(LoopbackHandler):
    """Handles signed AWS calls with moto."""

    def do_GET(self) -> None:  # noqa: N802 -- http.server calls it by this name
        """Serve a request with any HTTP method."""
        scope = _SCOPE.search(self.headers.get("Authorization", ""))
        if scope is None:
            self.read_body()
            self.answer(403, b'{"message":"the request is not signed"}')
            return
        region, service = scope.groups()
        url = f"https://{service}.{region}.amazonaws.com{self.path}"
        headers = HTTPHeaders()
        for name, value in self.headers.items():
            if name.lower() != "host":
                headers[name] = value
        request = AWSPreparedRequest(self.command, url, headers, self.read_body(), stream_output=False)
        with _LOCK:
            found = BotocoreStubber().process_request(request)
        if found is None:
            self.answer(501, f"moto has no {service}".encode())
            return
        status, answered, body = found
        raw = body.encode() if isinstance(body, str) else body
        fields = {name.lower(): str(value) for name, value in answered.items()}
        length = fields.pop("content-length", "0")
        self.answer(status, raw, fields, length=int(length) if self.command == "HEAD" else None)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_GET  # noqa: N815 -- http.server's names


@contextmanager
def running_aws(port: int = 0) -> Iterator[Endpoint]:
    """Serve an empty AWS account on a port of 127.0.0.1, in a separate process, because moto's state is global.

    The process ends when its stdin is closed, and therefore also when this process ends.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.runtime.aws", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process has no pipes")
        url = process.stdout.readline().strip()
        try:
            if not url:
                raise RuntimeError("the AWS server did not start")
            yield Endpoint(url)
        finally:
            process.stdin.close()


def main() -> None:
    """Print the address, then serve on the port in the first argument until stdin is closed."""
    server = LoopbackServer(AwsHandler, int(sys.argv[1]))
    server.start()
    print(f"http://127.0.0.1:{server.port}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
