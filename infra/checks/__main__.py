"""Runs all checks that do not need a build: `python -m infra.checks`. A finding does not stop the other checks."""

import sys

from infra.checks import expansion, template
from infra.checks.glossary import check_glossary
from infra.checks.report import report
from infra.checks.size import check_modules
from infra.checks.words import check_words
from infra.openapi.permissions import check_permissions

if __name__ == "__main__":
    reports = {
        "size": check_modules(),
        "words": check_words(),
        "glossary": check_glossary(),
        "permissions": check_permissions(),
    }
    statuses = [*(report(name, found) for name, found in reports.items()), template.main(), expansion.main()]
    sys.exit(max(statuses))
