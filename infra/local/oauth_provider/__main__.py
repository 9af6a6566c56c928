"""`python -m infra.local.oauth_provider --port N`: emulates the OAuth providers until Ctrl-C or SIGTERM.

The client id is `local-client`.
"""

import argparse
import signal
import threading

from infra.local.oauth_provider.server import running


def main() -> None:
    """Run the server and print its URL, which is the value for OAUTH_PROVIDER_URL."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.oauth_provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1; 0, the default, is any free one")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with running(port=parser.parse_args().port) as served:
        print(f"providers: {served.url}", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
