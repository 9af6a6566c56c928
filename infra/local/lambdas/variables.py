"""The environment of a function's process: what Lambda sets, what the stack gives the function, and this machine's.

It is built from nothing, so that no credential of the developer's shell reaches a function.
"""

import os
from pathlib import Path

from infra.local.paths import PYTHON
from infra.local.ports import HOST
from infra.local.stack.functions import StackFunction
from infra.runtime.environment import lambda_environment

# What a process needs of this machine, what the way to a real model may need, and where Google, GitHub and Slack are
# played (infra/local/oauth_provider).
_PASSED_ON = (
    "HOME",
    "TMPDIR",
    "OAUTH_PROVIDER_URL",
    "HTTPS_PROXY",
    "https_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
)


def process_environment(item: StackFunction, root: Path, runtime_api: str, endpoint_url: str) -> dict[str, str]:
    """Return the variables for one process of a function whose source is below `root`."""
    machine = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **machine,
        **lambda_environment(item.function, root, runtime_api),
        "AWS_LAMBDA_LOG_FORMAT": item.log_format,
        "AWS_LAMBDA_LOG_LEVEL": item.log_level,
        **item.function.environment,
        "AWS_ENDPOINT_URL": endpoint_url,
        # Issuers and providers on this machine may be asked; in AWS no private address ever is.
        "EGRESS_LOCAL_ADDRESSES": HOST,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PATH": f"{PYTHON.parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONUNBUFFERED": "1",
    }
