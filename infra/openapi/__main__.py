"""`python -m infra.openapi [--check]`: writes functions/console/openapi.json, functions/admin/routes.txt and
infra/docs/permissions.md. With `--check`, the command changes nothing and exits with status 1 if a file is stale.
"""

import argparse
import sys
from pathlib import Path

from infra.openapi.describe import find_undescribed
from infra.openapi.examples import find_without_example
from infra.openapi.merge import Conflict, merge_documents, render
from infra.openapi.permissions import PAGE, ROUTES, render_permissions, render_routes
from infra.openapi.sources import read_documents

TARGET = Path(__file__).resolve().parents[2] / "functions" / "console" / "openapi.json"


def main(arguments: list[str] | None = None, *, target: Path = TARGET, page: Path = PAGE, routes: Path = ROUTES) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the committed file is stale")
    options = parser.parse_args(arguments)
    try:
        document = merge_documents(read_documents())
    except Conflict as conflict:
        print(f"openapi: {conflict}", file=sys.stderr)
        return 1
    faults = [f"{place} lacks a description" for place in find_undescribed(document)]
    faults += [f"{place}: infra/openapi/examples.py" for place in find_without_example(document)]
    if faults:
        print("\n".join(f"openapi: {fault}" for fault in faults), file=sys.stderr)
        return 1
    texts = {target: render(document), page: render_permissions(document), routes: render_routes(document)}
    if options.check:
        return max(_check(text, file) for file, text in texts.items())
    for file, text in texts.items():
        file.write_text(text, encoding="utf-8")
        print(f"openapi: wrote {file.name}, {len(text)} characters")
    return 0


def _check(text: str, target: Path) -> int:
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return 0
    print(f"openapi: {target.name} is stale; run `make openapi` and commit it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
