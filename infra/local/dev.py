"""The command of `make dev`, `make stop`, `make logs` and `make env`: python -m infra.local.dev up | down | logs | env.

If the command fails, it prints one line to standard error and exits with status 1. Details are in .local/dev.log.
"""

import argparse
import asyncio
import contextlib
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import TextIO

from infra.local import StartFailed
from infra.local.background import reporting, start_in_background
from infra.local.configuration import Configuration, check_tools
from infra.local.description import Description, render_variables
from infra.local.down import stop_stack
from infra.local.logs.follow import follow
from infra.local.logs.stack_log import StackLog
from infra.local.paths import DESCRIPTION, LOG, PID_FILE
from infra.local.pidfile import claim, refuse_while_running, release
from infra.local.ports import HOST, claim_port, port_of
from infra.local.stack_run import StackRun


def main() -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.dev", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "logs", "env"))
    parser.add_argument("--report-to", type=int, default=None, metavar="FD", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        configuration = Configuration.read()
        match arguments.command:
            case "up":
                _bring_up(configuration, arguments.report_to)
            case "down":
                print(stop_stack(PID_FILE))
            case "logs":
                colours = configuration.colours and sys.stdout.isatty()
                follow(LOG, level=configuration.log_level, colours=colours)
            case "env":
                print(render_variables(DESCRIPTION))
    except StartFailed as error:
        print(f"make dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _bring_up(configuration: Configuration, report_to: int | None) -> None:
    if report_to is not None:
        with reporting(report_to) as report:
            _run(configuration, screen=None, report=report)
        return
    refuse_while_running(PID_FILE)
    check_tools()
    if configuration.detached:
        print(start_in_background(), flush=True)
    else:
        _run(configuration, screen=sys.stdout, report=_ignore)


def _run(configuration: Configuration, *, screen: TextIO | None, report: Callable[[str, str], None]) -> None:
    """Run the stack in this process until it is stopped."""
    front_socket = claim_port(configuration.port)
    try:
        claim(PID_FILE, f"http://{HOST}:{port_of(front_socket)}")
        colours = configuration.colours and screen is not None and screen.isatty()
        log = StackLog(LOG, screen, level=configuration.log_level, colours=colours)
        with contextlib.closing(log):
            _run_session(configuration, front_socket, log, report)
    finally:
        release(PID_FILE)
        front_socket.close()


def _run_session(
    configuration: Configuration, front_socket: socket.socket, log: StackLog, report: Callable[[str, str], None]
) -> None:
    def note_ready(description: Description) -> None:
        log.write_text(description.announce())
        report("ready", description.announce())

    async def run() -> None:
        await StackRun(configuration, front_socket, log, partial(report, "progress")).run(note_ready)

    try:
        asyncio.run(run())
    except StartFailed as error:
        log.note("stack", str(error), level="ERROR")
        raise
    except Exception as error:
        log.write_text(traceback.format_exc())
        raise StartFailed(f"unexpected {type(error).__name__}; see .local/dev.log") from error


def _ignore(key: str, text: str) -> None:
    """Ignore a report, because a stack in the foreground shows its log on the screen."""


if __name__ == "__main__":
    sys.exit(main())
