"""All checks that need no build: `python -m infra.checks`. Every one runs, whatever the others found."""

import sys

from infra.checks import expansion, template
from infra.checks.report import report
from infra.checks.size import check_modules
from infra.checks.words import check_words

if __name__ == "__main__":
    statuses = [report("size", check_modules()), report("words", check_words()), template.main(), expansion.main()]
    sys.exit(max(statuses))
