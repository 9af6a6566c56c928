"""The options of `make dev`, and the errors for invalid options."""

import socket

import pytest
from atrium.settings import MODEL_VENDORS

from infra.local import StartFailed
from infra.local.configuration import Configuration
from infra.local.ports import claim_port, free_port, port_of


def test_defaults() -> None:
    assert Configuration.read({}) == Configuration(port=8080)
    assert Configuration.read({}).scripted_vendors == MODEL_VENDORS


def test_all_options() -> None:
    chosen = Configuration.read(
        {
            "PORT": "9000",
            "STAGE_PREFIX": "/dev/",
            "DETACH": "1",
            "LOG_LEVEL": "debug",
            "NO_COLOR": "1",
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:9/",
            "ANTHROPIC_API_KEY": "k",
            "OAUTH_PROVIDER_URL": "real",
        }
    )
    assert chosen == Configuration(
        9000, "/dev", True, "DEBUG", False, {"anthropic": "http://127.0.0.1:9"}, {"anthropic": "k"}, "real"
    )


@pytest.mark.parametrize("vendor", MODEL_VENDORS)
@pytest.mark.parametrize("name", ["BASE_URL", "API_KEY"])
def test_own_model(vendor: str, name: str) -> None:
    chosen = Configuration.read({f"{vendor.upper()}_{name}": "x"})
    assert chosen.scripted_vendors == tuple(each for each in MODEL_VENDORS if each != vendor)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PORT": "http"}, "PORT must be a number up to 65535, not 'http'"),
        ({"PORT": "65536"}, "PORT must be a number"),
        ({"STAGE_PREFIX": "dev"}, "STAGE_PREFIX must be a slash and a name, as /dev"),
        ({"STAGE_PREFIX": "/a/b"}, "STAGE_PREFIX must be a slash and a name, as /dev"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL must be one of"),
    ],
)
def test_invalid_values_are_refused(variables: dict[str, str], message: str) -> None:
    with pytest.raises(StartFailed, match=message):
        Configuration.read(variables)


@pytest.mark.loopback
def test_port_in_use() -> None:
    with claim_port(0) as claimed:
        port = port_of(claimed)
        with pytest.raises(
            StartFailed, match=f"port {port} is in use; choose another one, for example PORT={port + 1}"
        ):
            claim_port(port)


@pytest.mark.loopback
def test_free_port() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        assert port_of(taken) > 0
