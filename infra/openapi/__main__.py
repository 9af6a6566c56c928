"""`python -m infra.openapi [--check]`: write functions/console/openapi.json, or say that it is stale (exit 1)."""

import argparse
import sys
from pathlib import Path

from infra.openapi.merge import Conflict, merge_documents, render
from infra.openapi.sources import read_documents

TARGET = Path(__file__).resolve().parents[2] / "functions" / "console" / "openapi.json"


def main(arguments: list[str] | None = None, *, target: Path = TARGET) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the committed file is stale")
    options = parser.parse_args(arguments)
    try:
        text = render(merge_documents(read_documents()))
    except Conflict as conflict:
        print(f"openapi: {conflict}", file=sys.stderr)
        return 1
    if options.check:
        return _check(text, target)
    target.write_text(text, encoding="utf-8")
    print(f"openapi: wrote {target.name}, {len(text)} characters")
    return 0


def _check(text: str, target: Path) -> int:
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return 0
    print(f"openapi: {target.name} is stale; run `make openapi` and commit it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
