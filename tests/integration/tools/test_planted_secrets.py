"""Secrets that tools and models use are in no place that a model, a caller or an operator can read.

Each test plants every kind of secret, runs turns in which a server returns its secret, and then searches everything
that was sent, answered, stored and logged. The outbound requests are the only place where a secret is.
"""

import json
import logging
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

import httpx2
import pytest
from atrium.bootstrap import LIBRARIES
from atrium.http import logs
from atrium.storage.table import PhysicalTable

import functions.usage.app
from tests.builders.api_env import ADMIN, OTHER_PRINCIPAL, ApiEnv, model_environment, read_events
from tests.builders.connections import CLIENT_SECRET, configure_client, connect
from tests.builders.gateway import call_as
from tests.builders.http_tools import LOCAL, SCHEMA
from tests.builders.runtimes import build_runtime
from tests.builders.tenant_env import OTHER_OWNER, context_of
from tests.unit.egress.sites import Answer, Site, say
from tests.unit.egress.test_bounds import HEAD, drip

pytestmark = pytest.mark.loopback

TOOL_SECRET = 'planted-tool secret/+&"4f1c'
ACCESS, NEW_ACCESS = "gho_planted-access-7d21", "gho_planted-access-9a33"
REFRESH = "ghr_planted-refresh-5b02"
MODEL_KEY = "sk-ant-planted-model-key-3e80"
API_KEY = "atr_dev_plantedapikey0123456789abcdefghij"
PLANTED = [TOOL_SECRET, ACCESS, NEW_ACCESS, REFRESH, CLIENT_SECRET, MODEL_KEY, API_KEY]
USER = context_of(OTHER_OWNER)

type Encode = Callable[[str], str]

ENCODINGS: dict[str, Encode] = {
    "as it is": str,
    "base64": lambda secret: b64encode(secret.encode()).decode(),
    "base64 for URLs": lambda secret: urlsafe_b64encode(secret.encode()).decode(),
    "base64 of the header": lambda secret: b64encode(f"Authorization: Bearer {secret}\r\n".encode()).decode(),
    "hex": lambda secret: secret.encode().hex(),
    "HEX": lambda secret: secret.encode().hex().upper(),
    "URL": lambda secret: quote(secret, safe=""),
    "form": quote_plus,
    "JSON": lambda secret: json.dumps(secret)[1:-1],
    "JSON with codes": lambda secret: "".join(f"\\u{ord(letter):04x}" for letter in secret),
    "line break": lambda secret: f"{secret[:11]}\n{secret[11:]}",
    "HTML": lambda secret: f"<p>{secret[:11]}<b>{secret[11:]}</b></p>",
}


def echo(encode: Encode, status: int = 200, kind: str = "text/plain") -> Answer:
    """Return an answer that contains the credential of the request, in this encoding, in several places."""

    def answer(line: Any, request: bytes) -> None:
        sent = encode(credential_of(request))
        body = json.dumps({"sent": sent, sent: [sent, f'"{sent}"']}) if kind.endswith("json") else f"You sent {sent}."
        say(status, body.encode(), content_type=kind, location="/moved", x_sent=quote(sent))(line, request)

    return answer


def credential_of(request: bytes) -> str:
    return request.partition(b"authorization: Bearer ")[2].partition(b"\r\n")[0].decode()


@dataclass
class Planted:
    """An API environment with a secret of each kind, and two tools: `weather` has a secret, `account` a connection."""

    api_env: ApiEnv
    site: Site
    heard: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.use_model()
        configure_client(self.api_env.tenant_env)
        self.connect()
        url = f"http://127.0.0.1:{self.site.port}/{{city}}"
        common = {"input_schema": SCHEMA, "effect": "pure", "timeout_seconds": 1}
        bearer = {"Authorization": "Bearer {{secret.KEY}}"}
        http = {
            "method": "POST", "url": f"{url}?key={{{{secret.KEY}}}}", "headers": bearer,
            "body": {"key": "{{secret.KEY}}", "keys": ["key {{secret.KEY}}"]},
        }  # fmt: skip
        weather = {"name": "weather", "description": "W.", "http": http, "secrets": {"KEY": TOOL_SECRET}}
        account = {"name": "account", "description": "A.", "http": {"method": "GET", "url": url}}
        made = [
            self.keep(self.api_env.tools_as().post("/v1/tools", json={**common, **tool}))
            for tool in (weather, {**account, "connection": "github"})
        ]
        self.tool_ids = [tool["id"] for tool in made]
        agent = {"name": "a", "model": "claude-haiku-5-5", "tools": ["weather", "account"]}
        self.agent_id = self.keep(self.api_env.admin_as().post("/v1/agents", json=agent))["id"]

    def use_model(self, **environment: str) -> None:
        """Use a runtime whose platform key for the models is planted."""
        found, tenant_env = self.api_env.runtime, self.api_env.tenant_env
        given = {**model_environment(self.api_env.server), "ANTHROPIC_API_KEY": MODEL_KEY, **environment}
        given |= {"EGRESS_LOCAL_ADDRESSES": ",".join(LOCAL), "OAUTH_PROVIDER_URL": f"http://127.0.0.1:{self.site.port}"}
        runtime = build_runtime(given, table=tenant_env.physical, clock=tenant_env.clock)()
        tenant_env.encryption()
        runtime.__dict__.update(bucket=found.bucket, secret_master_key=tenant_env.master_key)
        self.api_env.holder.runtime = runtime

    def connect(self, **wishes: Any) -> None:
        connect(self.api_env.tenant_env, USER, access=ACCESS, refresh=REFRESH, **wishes)

    def keep(self, answer: httpx2.Response, status: int = 0) -> Any:
        """Keep the text and headers of an answer for the search, and return its JSON."""
        self.heard += [answer.text, str(answer.headers)]
        assert answer.status_code == status or (status == 0 and answer.is_success), answer.text
        return answer.json() if answer.headers.get("content-type", "").endswith("json") else answer.text

    def turn(self) -> list[str]:
        """Run a turn as a JSON answer and another as a stream. Each calls both tools. Return the tools' results."""
        message = '[[tool=weather {"city": "Rome"}]] [[tool=account {"city": "Rome"}]]'
        body = {"agent_id": self.agent_id, "message": message}
        client = self.api_env.chat_as(OTHER_PRINCIPAL)
        client.headers.update({"x-api-key": API_KEY, "authorization": f"Bearer {API_KEY}", "idempotency-key": "key-1"})
        answer = self.keep(client.post("/v1/chat", json=body))
        self.keep(client.post("/v1/chat", json=body))  # the saved answer
        results = []
        with client.stream("POST", "/v1/chat/stream", json=body, headers={"idempotency-key": "key-2"}) as stream:
            for event in filter(None, read_events(stream)):
                self.heard.append(json.dumps(event.data, ensure_ascii=False))
                results += [str(event.data["result"])] if event.event == "tool_result" else []
        for path in (f"/v1/runs/{answer['run_id']}", "/v1/runs"):
            self.keep(client.get(path))
        self.keep(client.get(f"/v1/runs/{answer['run_id']}/events", headers={"accept": "application/json"}))
        return results

    def read_everything(self) -> dict[str, str]:
        """Return the texts of all places, by the name of the place."""
        env, tools, admin = self.api_env.tenant_env, self.api_env.tools_as(), self.api_env.admin_as()
        sessions = self.api_env.sessions_as(OTHER_PRINCIPAL)
        for tool_id in self.tool_ids:
            self.keep(tools.get(f"/v1/tools/{tool_id}"))
        for session in self.keep(sessions.get("/v1/sessions"))["data"]:
            self.keep(sessions.get(f"/v1/sessions/{session['id']}/messages"))
        for export in ("json", "csv", "jsonl"):
            self.keep(admin.get("/v1/audit", params={"format": export, "limit": "100"}))
        usage = call_as(functions.usage.app.build(self.api_env.holder), ADMIN)
        for group in ("tool", "user", "day"):
            self.keep(usage.get("/v1/usage", params={"group_by": group}))
        blobs = [env.bucket.client.get_object(Bucket="blobs", Key=key)["Body"].read() for key in env.blobs()]
        return {
            "answers": "\n".join(self.heard),
            "model requests": "\n".join(json.dumps(each, ensure_ascii=False) for each in self.api_env.sent_bodies()),
            "table": str(all_items(env.physical)),
            "blobs": b"\n".join(blobs).decode(errors="replace"),
        }


def all_items(physical: PhysicalTable) -> list[Any]:
    return list(physical.client.scan(TableName=physical.name, ConsistentRead=True)["Items"])


class Lines(logging.Handler):
    """Keeps each log record with all its fields."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts += [f"{self.format(record)} {record.__dict__}"]


@contextmanager
def planted(api_env: ApiEnv, caplog: pytest.LogCaptureFixture, capsys: Any, *answers: Answer) -> Iterator[Planted]:
    """Yield the environment of a test. Afterwards, search the secrets everywhere."""
    lines, names = Lines(), (None, "atrium", logs.logger().name)
    caplog.set_level(logging.DEBUG)
    for name in names:
        caplog.set_level(logging.DEBUG, name)
        logging.getLogger(name).addHandler(lines)
    for name in LIBRARIES:
        caplog.set_level(logging.WARNING, name)  # as `quiet_libraries`
    try:
        with Site(list(answers)).open() as site:
            opened = Planted(api_env, site)
            yield opened
            places = opened.read_everything()
    finally:
        for name in names:
            logging.getLogger(name).removeHandler(lines)
    output = capsys.readouterr()
    places["logs"] = "\n".join([*lines.texts, caplog.text, output.out, output.err])
    assert all(places[name] for name in places if name != "blobs")
    assert {place: found for place, text in places.items() if (found := list(find_planted(text)))} == {}


def find_planted(text: str) -> Iterator[str]:
    """Yield the secrets in a text, in any encoding of this file, also without white space and escapes."""
    joined = "".join(text.replace("\\n", "").replace("\\", "").split())
    for secret in PLANTED:
        forms = {encode(secret) for name, encode in ENCODINGS.items() if name not in ("line break", "HTML")}
        forms |= {b64encode(bytes(shift) + secret.encode()).decode()[4:-4] for shift in range(3)}
        forms |= {secret[5:15], secret[-10:]}  # parts
        for form in forms:
            if form in text or "".join(form.replace("\\", "").split()) in joined:
                yield form


def test_the_search_finds_each_form() -> None:
    for name, encode in ENCODINGS.items():
        for secret in PLANTED:
            assert name == "HTML" or list(find_planted(f"<{encode(secret)}>")), name


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_server_returns_the_secret(api_env: ApiEnv, caplog: Any, capsys: Any, encoding: str) -> None:
    plain, structured = ("text/html", "text/html") if encoding == "HTML" else ("text/plain", "application/json")
    texts = [(200, plain), (200, structured), (500, plain)]  # for the JSON answer, the stream and the test calls
    answers = [echo(ENCODINGS[encoding], *text) for text in texts for _ in range(2)]
    with planted(api_env, caplog, capsys, *answers) as opened:
        results = opened.turn()
        for tool_id in opened.tool_ids:
            path, body = f"/v1/tools/{tool_id}/test", {"arguments": {"city": "Rome"}}
            results += [opened.keep(api_env.tools_as().post(path, json=body))["result"]]
    assert ["[SECRET]" in result for result in results] == [True, True, True, False]  # the key has no connection
    assert {credential_of(request) for request in opened.site.seen} == {TOOL_SECRET, ACCESS}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (echo(str, 302), "Redirects are not followed."),
        (echo(str, 200, "image/planted"), "content type"),
        (lambda line, request: say(200, b"x", content_type=credential_of(request))(line, request), "content type"),
        (echo(str, 200, "text/plain; charset=planted"), "[SECRET]"),
        (lambda line, request: say(200, b"{" + request, content_type="application/json")(line, request), "not valid"),
        (lambda line, request: line.sendall(request), "not valid HTTP"),
        (drip(HEAD + b"content-type: text/plain\r\n\r\n"), "timed out"),
    ],
    ids=["redirect", "image", "secret as content type", "charset", "wrong JSON", "no HTTP", "timeout"],
)
def test_a_call_fails(api_env: ApiEnv, caplog: Any, capsys: Any, answer: Answer, text: str) -> None:
    with planted(api_env, caplog, capsys, *[answer] * 4) as opened:
        results = opened.turn()
    assert len(results) == 2
    assert all(text in result for result in results)


def test_a_call_is_refused(api_env: ApiEnv, caplog: Any, capsys: Any) -> None:
    with planted(api_env, caplog, capsys) as opened:
        opened.api_env.tenant_env.configure(settings='{"outbound": {"deny": ["127.0.0.1"]}}')
        results = opened.turn()
        assert len(opened.api_env.events("outbound.refuse")) == 4  # two tools in two sessions
    assert len(results) == 2
    assert all("does not allow this host" in result for result in results)


@pytest.mark.parametrize("refusal", ["error", "failure", "new tokens"])
def test_a_token_is_refreshed(api_env: ApiEnv, caplog: Any, capsys: Any, refusal: str) -> None:
    def provider(line: Any, request: bytes) -> None:
        grant = {"access_token": NEW_ACCESS, "refresh_token": REFRESH, "expires_in": 3_600}
        shown = request.partition(b"\r\n\r\n")[2].decode()
        error = {"error": "bad_refresh_token", "error_description": shown, "hint": f"{REFRESH} {CLIENT_SECRET}"}
        status, body = {"error": (400, error), "failure": (500, error), "new tokens": (200, grant)}[refusal]
        say(status, json.dumps(body).encode(), content_type="application/json")(line, request)

    def answer(line: Any, request: bytes) -> None:
        (provider if b"/access_token " in request.partition(b"\r\n")[0] else echo(str))(line, request)

    with planted(api_env, caplog, capsys, *[answer] * 6) as opened:
        opened.connect(seconds=10)
        weather, account = sorted(opened.turn(), key=lambda result: "[SECRET]" not in result)
    assert any(CLIENT_SECRET.encode() in request for request in opened.site.seen)
    assert "[SECRET]" in weather
    assert ("[SECRET]" in account) is (refusal == "new tokens")


@pytest.mark.parametrize("status", [400, 401])
def test_a_model_provider_returns_the_key(api_env: ApiEnv, caplog: Any, capsys: Any, status: int) -> None:
    def answer(line: Any, request: bytes) -> None:
        assert MODEL_KEY.encode() in request
        text = f"Incorrect API key provided: {MODEL_KEY}."
        error = {"type": "error", "error": {"type": "authentication_error", "message": text}}
        say(status, json.dumps(error).encode(), content_type="application/json", x_key=MODEL_KEY)(line, request)

    with planted(api_env, caplog, capsys, *[echo(str)] * 2) as opened, Site([answer] * 10).open() as model:
        opened.turn()
        opened.use_model(ANTHROPIC_BASE_URL=f"http://127.0.0.1:{model.port}")
        client = api_env.chat_as(OTHER_PRINCIPAL)
        body = {"agent_id": opened.agent_id, "message": "Hi"}
        found = client.post("/v1/chat", json=body)
        opened.keep(found, found.status_code)
        assert found.status_code >= 500
        with client.stream("POST", "/v1/chat/stream", json=body) as stream:
            opened.heard += [str(event.data) for event in filter(None, read_events(stream))]
        assert len(model.seen) >= 2
