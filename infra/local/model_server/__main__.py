"""`python -m infra.local.model_server --port N`: runs the model server until SIGTERM or Ctrl-C."""

import argparse
import os
import signal
import sys

from infra.local.model_server.request_log import RequestLog
from infra.local.model_server.server import Application, Host, bind, url_of


def main() -> None:
    """Run the model server. If the port is not available, print one line and exit with status 1."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.model_server", description=__doc__)
    parser.add_argument("--port", type=_port, default=0, help="the port on 127.0.0.1; 0, the default, is any free one")
    port: int = parser.parse_args().port
    try:
        listener = bind(port)
    except OSError as error:
        sys.exit(f"model server: port {port} on 127.0.0.1: {os.strerror(error.errno or 0)}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises the signal again after it has stopped
    host = Host(Application(RequestLog()), lambda: print(f"model server: {url_of(listener)}", flush=True))
    host.run([listener])


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port (0–65535)")
    return port


if __name__ == "__main__":
    main()
