"""Builds the environment of a function's process from the variables of Lambda, the function and this machine.

The process does not inherit the shell's environment, so that a function cannot read the developer's credentials.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from infra.local.paths import PYTHON
from infra.local.ports import HOST
from infra.local.stack.functions import StackFunction
from infra.runtime.environment import lambda_environment

# Variables of this machine that functions receive: basic process settings, and the proxy to a real model or provider.
_PASSED_ON = (
    "HOME",
    "TMPDIR",
    "HTTPS_PROXY",
    "https_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
)


def process_environment(
    item: StackFunction, root: Path, runtime_api: str, addresses: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables for a process of a function.

    `root` is the folder of the source tree. `addresses` are variables with the addresses of the stack's servers.
    """
    machine = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        **machine,
        **lambda_environment(item.function, root, runtime_api),
        "AWS_LAMBDA_LOG_FORMAT": item.log_format,
        "AWS_LAMBDA_LOG_LEVEL": item.log_level,
        **item.function.environment,
        **addresses,
        # Issuers and providers on this machine are allowed. On AWS, private addresses are never allowed.
        "EGRESS_LOCAL_ADDRESSES": HOST,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PATH": f"{PYTHON.parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONUNBUFFERED": "1",
    }
