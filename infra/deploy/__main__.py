"""`python -m infra.deploy --env dev`, used by `make deploy`. With `--check`, the command only reports problems.

The exit status is 1 if a problem prevents the deployment. Otherwise it is the exit status of the build or of SAM CLI.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from infra.deploy.account import Account, AccountUnreachable, open_account
from infra.deploy.checks import Finding, check_account, find_status
from infra.deploy.configuration import Configuration, ConfigurationInvalid, check_parameters, read_configuration
from infra.deploy.sam import deploy_command, release_digest
from infra.runtime.template import ROOT, TemplateInvalid, read_template


@dataclass(frozen=True)
class Target:
    """A stack's configuration and its AWS account. `creates` is true if the stack does not exist yet."""

    configuration: Configuration
    account: Account
    creates: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    parser.add_argument("--env", required=True, help="an environment of samconfig.toml")
    parser.add_argument("--check", action="store_true", help="report problems, deploy nothing")
    options = parser.parse_args(arguments)
    findings: list[Finding] = []
    target = _examine(options.env, findings)
    for finding in findings:
        _say(finding.text if finding.blocks else f"note: {finding.text}")
    if target is None or any(finding.blocks for finding in findings):
        return 1
    _say(f"{target.configuration.stack_name} in account {target.account.id}, {target.account.region}")
    return 0 if options.check else _deploy(target)


def _examine(environment: str, findings: list[Finding]) -> Target | None:
    """Add all problems to `findings` and return the target.

    Return None if the template, the configuration or the account cannot be read.
    """
    try:
        template = read_template()
        configuration = read_configuration(environment, template)
        findings += [Finding(text) for text in check_parameters(configuration, template)]
        account = open_account(configuration.region, configuration.profile)
        status = find_status(account, configuration.stack_name)
        findings += check_account(account, configuration, status)
    except (TemplateInvalid, ConfigurationInvalid, AccountUnreachable, ClientError, BotoCoreError) as error:
        findings.append(Finding(" ".join(str(error).split())))
        return None
    return Target(configuration, account, creates=status is None)


def _deploy(target: Target) -> int:
    """Build and deploy the stack, and return the exit status.

    After the stack has been created, deploy it again to enable data protection.
    """
    if status := subprocess.run(["make", "-s", "build"], cwd=ROOT, check=False).returncode:
        return status
    release = release_digest(target.configuration.parameters)
    interactive = sys.stdin.isatty() and not os.environ.get("CI")
    if status := _run_sam(target, release, creates=target.creates, interactive=interactive):
        return status
    if target.creates:
        _say("created; turning on data protection")
        if status := _run_sam(target, release, creates=False, interactive=False):
            _say("the stack works, but its data is not protected from deletion: run make deploy again")
            return status
        _say(f"next: make bootstrap ENV={target.configuration.environment}, then infra/docs/deploy.md")
    return 0


def _run_sam(target: Target, release: str, *, creates: bool, interactive: bool) -> int:
    region = target.account.region
    command = deploy_command(target.configuration, region, release, creates=creates, interactive=interactive)
    environment = {**os.environ, **target.account.environment, "AWS_DEFAULT_REGION": region, "SAM_CLI_TELEMETRY": "0"}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def _say(line: str) -> None:
    print(f"deploy: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
