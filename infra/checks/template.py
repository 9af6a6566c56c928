"""Checks of template.yaml that linters do not provide: `python -m infra.checks.template`."""

import sys
from collections.abc import Iterator
from itertools import chain

from infra.checks.access import check_access
from infra.checks.contract import check_contract, read_contract
from infra.checks.data import check_protection, check_retention
from infra.checks.grants import check_grants
from infra.checks.policies import check_logs, check_roles
from infra.checks.queues import check_queues
from infra.checks.refusals import check_refusals
from infra.checks.report import report
from infra.checks.routes import check_authorizers, check_events, check_streaming
from infra.runtime.template import Document, TemplateInvalid, read_template

CHECKS = (
    check_streaming,
    check_events,
    check_authorizers,
    check_logs,
    check_roles,
    check_access,
    check_queues,
    check_refusals,
    check_retention,
    check_protection,
)


def check_template(template: Document) -> Iterator[str]:
    """Run all checks that need only the template."""
    return chain.from_iterable(check(template) for check in CHECKS)


def main() -> int:
    try:
        template = read_template()
    except TemplateInvalid as error:
        return report("template", [str(error)])
    contract = read_contract()
    return report(
        "template", chain(check_template(template), check_contract(template, contract), check_grants(contract))
    )


if __name__ == "__main__":
    sys.exit(main())
