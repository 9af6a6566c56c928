"""Finds the region and the credentials in the same sources as the AWS CLI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

_CLI_SECONDS = 60


class AccountUnreachable(Exception):
    """Raised if the region or credentials are missing, or AWS rejects the credentials. The message is one line."""


@dataclass(frozen=True)
class Account:
    """The account and region of a deployment. `environment` contains additional variables for SAM CLI."""

    id: str
    region: str
    session: Any
    environment: Mapping[str, str] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return a client for a service in the account's region."""
        return self.session.client(service)


def find_region(configured: str | None = None, profile: str | None = None) -> str | None:
    """Return the region from `AWS_REGION`, which boto3 does not read, or from boto3's sources.

    Return None if no region is configured.
    """
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or configured
    return named or boto3.Session(profile_name=profile).region_name


def open_account(configured_region: str | None = None, profile: str | None = None) -> Account:
    """Find the region and the credentials, and read the account id from AWS.

    Raises AccountUnreachable if the region or valid credentials are missing.
    """
    try:
        region = find_region(configured_region, profile)
        if not region:
            raise AccountUnreachable("no region: set AWS_REGION, or region in the profile (aws configure)")
        session, environment = _open_session(region, profile)
        account_id = str(session.client("sts").get_caller_identity()["Account"])
    except ClientError as error:
        raise AccountUnreachable(f"AWS refuses the credentials: {_message(error)}") from error
    except BotoCoreError as error:
        raise AccountUnreachable(" ".join(str(error).split())) from error
    return Account(account_id, region, session, environment)


def _open_session(region: str, profile: str | None) -> tuple[boto3.Session, dict[str, str]]:
    """Return a session and the environment variables for SAM CLI.

    If boto3 cannot read the credentials, as after `aws login`, the AWS CLI exports them.
    """
    session = boto3.Session(region_name=region, profile_name=profile)
    try:
        if session.get_credentials() is not None:
            return session, {}
    except BotoCoreError:
        pass
    exported = _export_credentials(profile)
    if exported is None:
        raise AccountUnreachable("no credentials: set AWS_PROFILE, run aws login, or set AWS_ACCESS_KEY_ID")
    environment = {
        "AWS_ACCESS_KEY_ID": str(exported["AccessKeyId"]),
        "AWS_SECRET_ACCESS_KEY": str(exported["SecretAccessKey"]),
        "AWS_SESSION_TOKEN": str(exported.get("SessionToken", "")),
    }
    session = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        environment["AWS_SESSION_TOKEN"] or None,
        region,
    )
    return session, environment


def _export_credentials(profile: str | None) -> dict[str, Any] | None:
    command = shutil.which("aws")
    if command is None:
        return None
    chosen = ["--profile", profile] if profile else []
    done = subprocess.run(
        [command, "configure", "export-credentials", "--format", "process", *chosen],
        capture_output=True,
        text=True,
        timeout=_CLI_SECONDS,
        check=False,
    )
    try:
        return dict(json.loads(done.stdout)) if done.returncode == 0 else None
    except ValueError:
        return None


def _message(error: ClientError) -> str:
    return " ".join(str(error.response.get("Error", {}).get("Message", error)).split())
