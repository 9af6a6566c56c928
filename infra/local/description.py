"""Describes a running stack in `.local/dev.json` and in the text that is shown when the stack is ready."""

import json
import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local import StartFailed
from infra.local.seed import SeededTenant


@dataclass(frozen=True)
class Description:
    """The addresses and credentials of a running stack.

    `host_url` is the URL of the front server. `base_url` also includes the stage prefix.
    """

    host_url: str
    base_url: str
    platform_api_key: str
    model_url: str
    oauth_provider_url: str
    table: str
    endpoint_url: str
    tenants: tuple[SeededTenant, ...]

    def write(self, path: Path) -> None:
        """Write the file atomically. Only the current user can read the file, because it contains API keys."""
        content = {
            "base_url": self.base_url,
            "console_url": f"{self.base_url}/",
            "platform_api_key": self.platform_api_key,
            "model_url": self.model_url,
            "oauth_provider_url": self.oauth_provider_url,
            "table": self.table,
            "endpoint_url": self.endpoint_url,
            "tenants": [asdict(tenant) for tenant in self.tenants],
        }
        scratch = path.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(json.dumps(content, indent=2) + "\n")
        scratch.replace(path)

    def announce(self) -> str:
        """Return the text that is shown when the stack is ready. Tests and scripts depend on its last line."""
        tenants = ", ".join(f"{tenant.name} ({tenant.plan})" for tenant in self.tenants)
        return "\n".join(
            (
                "",
                f"  API      {self.base_url}",
                f"  docs     {self.base_url}/docs",
                f"  console  {self.base_url}/",
                f"  model    {self.model_url}",
                f"  sign-in  {self.oauth_provider_url or 'the real Google, GitHub and Slack'}",
                f"  AWS      {self.endpoint_url}",
                f'  tenants  {tenants}; their keys are in .local/dev.json; for a shell: eval "$(make env)"',
                "  logs     make logs, or .local/dev.log",
                "",
                f"ready: {self.host_url}",
            )
        )


# `field a.b` prints one field of a JSON document on standard input, like `jq -r .a.b`.
_FIELD = """field() {
  python3 -c 'import functools, json, sys
found = functools.reduce(lambda part, key: part[int(key) if isinstance(part, list) else key],
                         sys.argv[1].split("."), json.load(sys.stdin))
print(found if isinstance(found, str) else json.dumps(found))' "$1"
}"""


def render_variables(path: Path) -> str:
    """Return a shell script that sets the environment variables used in the guides.

    Raises StartFailed if no stack is running.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise StartFailed("no stack runs in this folder; start it with `make dev DETACH=1`") from error
    first, second = content["tenants"]
    variables = {
        "ATRIUM": content["base_url"],
        "KEY": first["api_key"],
        "TENANT": first["id"],
        "AGENT": first["agent_id"],
        "ADMIN_EMAIL": first["admin"]["email"],
        "ADMIN_PASSWORD": first["admin"]["password"],
        "FREE_KEY": second["api_key"],
        "PLATFORM_KEY": content["platform_api_key"],
        "MODEL_SERVER": content["model_url"],
        "PROVIDERS": content["oauth_provider_url"],
        "AWS_EMULATOR": content["endpoint_url"],
    }
    return "\n".join([*(f"export {name}={shlex.quote(value)}" for name, value in variables.items()), _FIELD])
