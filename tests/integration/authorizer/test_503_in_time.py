"""If the table does not respond, the authorizer fails within its timeout of five seconds."""

import socket
import time
from collections.abc import Iterator

import pytest
from atrium.identity.key_format import mint_key
from atrium.kernel.ids import mint_key_id, mint_tenant_id
from atrium.settings import Settings
from atrium.storage.clients import SHORT_SECONDS_MAX

from functions.authorizer.app import AuthorizerFailed, AuthorizerRuntime, answer
from functions.authorizer.authorize import Authorizer
from infra.runtime.template import read_template
from tests.builders.authorizing import authorizer_event, bearer
from tests.builders.deployments import Deployment
from tests.builders.runtimes import NOON

pytestmark = pytest.mark.loopback


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never responds."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_client_gives_up_before_the_function_times_out() -> None:
    timeout = read_template()["Resources"]["AuthorizerFunction"]["Properties"]["Timeout"]
    assert timeout - SHORT_SECONDS_MAX >= 1, "a second is left to start in, and to say so"


def test_fails_in_time_if_the_table_does_not_answer(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ENDPOINT_URL_DYNAMODB", silent), ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    authorizer_env = Authorizer(AuthorizerRuntime(Settings.read({"TABLE_NAME": "atrium", "CORS_ORIGINS": "*"})))
    text, _ = mint_key("dev", mint_key_id(NOON), mint_tenant_id(NOON))
    assert authorizer_env.runtime.table.name == "atrium"
    began = time.monotonic()
    with pytest.raises(AuthorizerFailed):
        answer(authorizer_event(bearer(text)), authorizer_env)
    assert time.monotonic() - began < SHORT_SECONDS_MAX + 5
    assert len(authorizer_env.cache) == 0


def test_the_function_uses_the_client_with_short_timeouts(deployment: Deployment) -> None:
    made = AuthorizerRuntime(deployment.runtime.settings)
    config = made.table.client.meta.config
    assert (config.connect_timeout, config.read_timeout) == (0.4, 0.9)  # type: ignore[attr-defined] # not in the stubs
    assert config.retries["total_max_attempts"] == 2  # type: ignore[attr-defined] # not in the stubs
