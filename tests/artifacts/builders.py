"""Builders of functions for tests of the runtime: a handler with a layer, and a standard-library web server."""

from pathlib import Path

from infra.runtime.artifact import Artifact
from infra.runtime.functions import Function

HANDLER = """
import os, sys
import layered

def handler(event, context):
    if "fail" in event:
        raise ValueError(event["fail"])
    if "exit" in event:
        os._exit(event["exit"])
    return {
        "event": event,
        "layer": layered.NAME,
        "path": sys.path,
        "environment": dict(os.environ),
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "client": context.client_context.custom if context.client_context else None,
        "folder": os.getcwd(),
    }

def modules(event, context):
    import importlib.util
    return [name for name in event if importlib.util.find_spec(name)]
"""

WEB = """
import json, os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        kind = self.path.split("?")[0].rsplit("/", 1)[-1]
        if kind == "stream":
            return self.stream()
        if kind == "drop":
            return self.stream(cut=True)
        status, media, text = 200, "application/json", json.dumps({
            "method": self.command, "target": self.path, "body": body.decode(), "headers": self.headers.items(),
        })
        if kind == "refuse":
            status, media, text = 403, "application/problem+json", '{"code":"SCOPE_REQUIRED","status":403}'
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_PUT = do_DELETE = do_GET

    def stream(self, cut=False):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(1, 5):
            piece = b"id: %d\\n\\n" % number
            self.wfile.write(b"%x\\r\\n%b\\r\\n" % (len(piece), piece))
            self.wfile.flush()
            if cut and number == 2:
                self.close_connection = True
                return
            time.sleep(0.3)
        self.wfile.write(b"0\\r\\n\\r\\n")

    def log_message(self, *args):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Web).serve_forever()
"""


def handler_artifact(build: Path, handler: str = "handlers.handler", **variables: str) -> Artifact:
    """Create the build of a buffered function with one layer, and return its artifact."""
    task, layer = build / "PlainFunction", build / "PlainLayer" / "python"
    for folder in (task, layer):
        folder.mkdir(parents=True, exist_ok=True)
    (task / "handlers.py").write_text(HANDLER)
    (task / "broken.py").write_text("import a_module_that_is_nowhere\n")
    (layer / "layered.py").write_text('NAME = "from the layer"\n')
    return Artifact(_function("PlainFunction", handler, ("PlainLayer",), variables), build)


def web_artifact(build: Path) -> Artifact:
    """Create the build of a streaming function, and return its artifact.

    `run.sh` starts a web server. The environment contains the variables of the Lambda Web Adapter.
    """
    task = build / "WebFunction"
    task.mkdir(parents=True, exist_ok=True)
    (task / "web.py").write_text(WEB)
    script = task / "run.sh"
    script.write_text('#!/bin/sh\nexec python "$LAMBDA_TASK_ROOT/web.py"\n')
    script.chmod(0o755)
    variables = {
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
        "AWS_LWA_INVOKE_MODE": "response_stream",
        "AWS_LWA_READINESS_CHECK_PATH": "/ready",
    }
    return Artifact(_function("WebFunction", "run.sh", (), variables), build)


def _function(logical_id: str, handler: str, layers: tuple[str, ...], variables: dict[str, str]) -> Function:
    return Function(
        logical_id=logical_id,
        name=logical_id,
        handler=handler,
        code=".",
        layers=layers,
        environment=variables,
        timeout_seconds=10,
        memory_megabytes=512,
    )
