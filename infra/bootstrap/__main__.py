"""`python -m infra.bootstrap --env dev`: fills the empty secrets and creates a platform key.

The command prints the platform key to stdout and all other output to stderr.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import get_args

from atrium.kernel.clock import read_clock
from atrium.kernel.errors import AtriumError
from atrium.kernel.ids import KeyId, is_id
from atrium.settings import Environment
from botocore.exceptions import BotoCoreError, ClientError

from infra.bootstrap.credentials import (
    FIRST_KEY_NAME,
    PROVIDER_SECRETS,
    BootstrapFailed,
    fill_secrets,
    list_platform_keys,
    make_first_platform_key,
    make_platform_key,
    read_pepper,
    replace_api_key,
    revoke_platform_key,
)
from infra.bootstrap.stack import DeployedStack


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status. If the command fails, print one line to stderr and return 1."""
    options = _parser().parse_args(arguments)
    stack = DeployedStack(
        options.stack_name or f"atrium-{options.env}", options.env, options.region, options.endpoint_url
    )
    try:
        _run(options, stack)
    except BootstrapFailed as error:
        return _fail(str(error))
    except ClientError as error:
        return _fail(f"AWS refused {error.operation_name}: {error.response['Error']['Message']}")
    except (BotoCoreError, AtriumError) as error:
        return _fail(str(error))
    return 0


def _run(options: argparse.Namespace, stack: DeployedStack) -> None:
    if options.list_platform_keys:
        _list(stack)
    elif options.revoke_platform_key:
        _revoke(stack, options.revoke_platform_key)
    else:
        _fill(options, stack)
        _make_key(options, stack)


def _fill(options: argparse.Namespace, stack: DeployedStack) -> None:
    filled = fill_secrets(stack.secrets_client, stack.arns)
    _say(f"filled: {', '.join(filled)}" if filled else "the secrets have their values already")
    if options.provider:
        key = sys.stdin.readline().strip()
        if not key:
            raise BootstrapFailed("no key came on stdin")
        replace_api_key(stack.secrets_client, stack.arns, options.provider, key)
        _say(f"wrote the API key of {options.provider}; functions read it within five minutes")


def _make_key(options: argparse.Namespace, stack: DeployedStack) -> None:
    pepper, now = read_pepper(stack.secrets_client, stack.arns), read_clock()
    if options.new_platform_key:
        text: str | None = make_platform_key(stack.table, pepper, options.env, now=now, name=options.new_platform_key)
    else:
        text = make_first_platform_key(stack.table, pepper, options.env, now=now)
    if text is None:
        _say("the first platform key was made before and is shown only once; --new-platform-key makes another")
        return
    _say("a platform key, shown this once; it may do everything:")
    print(text)


def _revoke(stack: DeployedStack, key_id: str) -> None:
    if not is_id(key_id, "key") or not revoke_platform_key(stack.table, KeyId(key_id), now=read_clock()):
        raise BootstrapFailed(f"platform key {key_id} not found")
    _say(f"{key_id} is revoked, within the authorizer's 30 seconds")


def _list(stack: DeployedStack) -> None:
    for key in list_platform_keys(stack.table):
        used = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
        print(f"{key.id}  {key.prefix}…  {key.status(read_clock()):8}  {used}  {key.name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.bootstrap", description="The first credentials of a stack.")
    parser.add_argument("--env", required=True, choices=get_args(Environment.__value__), help="which deployment")
    parser.add_argument("--stack-name", help="by default atrium-<env>, as in samconfig.toml")
    parser.add_argument("--region", help="by default what the AWS environment says")
    parser.add_argument("--endpoint-url", help="an emulator in place of AWS")
    providers = parser.add_mutually_exclusive_group()
    for provider, secret in PROVIDER_SECRETS.items():
        providers.add_argument(
            f"--{provider}-api-key-stdin", dest="provider", action="store_const", const=provider,
            help=f"read the platform's API key of {provider} ({secret}) from stdin and keep it",
        )  # fmt: skip
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--new-platform-key", nargs="?", const=FIRST_KEY_NAME, metavar="NAME", help="make one more, of that name"
    )
    action.add_argument("--revoke-platform-key", metavar="KEY_ID", help="end one")
    action.add_argument("--list-platform-keys", action="store_true", help="show them without their secrets")
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _fail(line: str) -> int:
    _say(f"bootstrap: {' '.join(line.split())}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
