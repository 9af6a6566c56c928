"""The description of a running stack: `.local/dev.json`, and the lines shown when it is ready."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.local.seed import SeededTenant


@dataclass(frozen=True)
class Description:
    """A running stack. `host_url` is the front server's address; `base_url` adds the stage's prefix."""

    host_url: str
    base_url: str
    platform_api_key: str
    model_url: str
    table: str
    endpoint_url: str
    tenants: tuple[SeededTenant, ...]

    def write(self, path: Path) -> None:
        """Write the file atomically, readable by the current user only, because it holds keys."""
        content = {
            "base_url": self.base_url,
            "console_url": f"{self.base_url}/",
            "platform_api_key": self.platform_api_key,
            "model_url": self.model_url,
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
        """Return the text shown when the stack is ready. Tests and scripts depend on its last line."""
        tenants = ", ".join(f"{tenant.name} ({tenant.plan})" for tenant in self.tenants)
        return "\n".join(
            (
                "",
                f"  API      {self.base_url}",
                f"  docs     {self.base_url}/docs",
                f"  console  {self.base_url}/",
                f"  model    {self.model_url}",
                f"  AWS      {self.endpoint_url}",
                f"  tenants  {tenants}; their keys are in .local/dev.json",
                "  logs     make logs, or .local/dev.log",
                "",
                f"ready: {self.host_url}",
            )
        )
