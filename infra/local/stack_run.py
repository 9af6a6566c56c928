"""Runs the local stack: starts its processes and servers in order, and stops them in reverse order."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Mapping

from atrium.kernel.ids import TenantId
from atrium.settings import Settings
from atrium.storage.blobs import Bucket, TenantBlobs
from atrium.storage.secrets import Secrets
from atrium.storage.table import PhysicalTable

from infra.bootstrap.credentials import SecretArns
from infra.local import StartFailed
from infra.local.configuration import Configuration
from infra.local.credentials import issue_credentials
from infra.local.description import Description
from infra.local.emulator import start_emulator
from infra.local.gateway.api import read_api
from infra.local.gateway.front import Front
from infra.local.helper_servers import start_oauth_provider, start_server
from infra.local.lambdas.invoke_proxy import InvokeProxy
from infra.local.lambdas.service import LambdaService
from infra.local.logs.stack_log import StackLog
from infra.local.model import Models, start_models
from infra.local.paths import DESCRIPTION
from infra.local.ports import HOST, claim_port, port_of
from infra.local.processes import Child, Children
from infra.local.reload import watch_source
from infra.local.search_server import PROVIDER as SEARCH_PROVIDER
from infra.local.seed import TENANT_IDS, seed_tenants
from infra.local.seed_objects import claim_tenant_ids, write_objects
from infra.local.seeds import ACME
from infra.local.servers import LocalServer
from infra.local.stack.corrections import correct
from infra.local.stack.deploy import Stack, deploy, read_source
from infra.local.stack.functions import read_functions, route_invocations

COMPONENT = "stack"


class Progress:
    """Reports each completed phase of the start and its duration, in the log and with the function `report`."""

    def __init__(self, log: StackLog, report: Callable[[str], None]) -> None:
        self._log = log
        self._report = report
        self._began = time.monotonic()

    def note(self, done: str) -> None:
        """Report a completed phase with the time since the last call."""
        now = time.monotonic()
        text = f"{done} ({now - self._began:.1f} s)"
        self._began = now
        self._log.note(COMPONENT, text)
        self._report(text)


class StackRun:
    """A run of the stack in the current process."""

    def __init__(
        self,
        configuration: Configuration,
        front_socket: socket.socket,
        log: StackLog,
        report: Callable[[str], None],
    ) -> None:
        self._progress = Progress(log, report)
        self._configuration = configuration
        self._front_socket = front_socket
        self._log = log
        self._children = Children(log)
        self._endings: list[Callable[[], Coroutine[None, None, None]]] = []
        self._ended = asyncio.Event()
        self._failure: StartFailed | None = None

    @property
    def host_url(self) -> str:
        """Return the URL of the front server."""
        return f"http://{HOST}:{port_of(self._front_socket)}"

    async def run(self, on_ready: Callable[[Description], None]) -> None:
        """Start the stack, call `on_ready`, and run until SIGINT, SIGTERM or SIGHUP.

        Raises StartFailed if the stack cannot start or one of its processes ends.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._ended.set)
        work = asyncio.create_task(self._work(on_ready))
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
            if self._failure is not None:
                raise self._failure
            if work.done():
                await work
        finally:
            DESCRIPTION.unlink(missing_ok=True)
            ended.cancel()
            work.cancel()
            await asyncio.gather(work, ended, return_exceptions=True)
            await self._end_all()

    async def _work(self, on_ready: Callable[[Description], None]) -> None:
        source = read_source()
        endpoint, models, providers_url, search_url = await asyncio.gather(
            start_emulator(self._children, self._note_loss),
            start_models(self._configuration, self._children, self._note_loss),
            start_oauth_provider(self._configuration, self._children, self._note_loss),
            start_server("search", "infra.local.search_server", "/", self._children, self._note_loss),
        )
        self._progress.note("started the AWS emulator, the model server, the sign-in providers and the search server")
        stack = await asyncio.to_thread(deploy, source, self._parameters(models), endpoint)
        await asyncio.to_thread(correct, stack)
        self._progress.note("deployed template.yaml")
        service = await self._serve(stack, {"OAUTH_PROVIDER_URL": providers_url, "WEB_SEARCH_URL": search_url})
        platform_key = await asyncio.to_thread(issue_credentials, stack, models)
        base_url = f"{self.host_url}{self._configuration.stage_prefix}"
        table = PhysicalTable(stack.endpoint.client("dynamodb"), stack.outputs["TableName"])
        await asyncio.to_thread(claim_tenant_ids, table, TENANT_IDS)
        tenants = await seed_tenants(base_url, platform_key)
        await asyncio.to_thread(self._seed_objects, stack, table)
        self._progress.note("created the first tenants")
        description = Description(
            host_url=self.host_url,
            base_url=base_url,
            platform_api_key=platform_key,
            model_url=models.url,
            oauth_provider_url=providers_url,
            table=stack.outputs["TableName"],
            endpoint_url=endpoint.url,
            tenants=tenants,
        )
        description.write(DESCRIPTION)
        on_ready(description)
        service.warm(service.applications)
        await asyncio.gather(service.reap(), watch_source(service, self._log))

    @staticmethod
    def _seed_objects(stack: Stack, table: PhysicalTable) -> None:
        bucket = Bucket(stack.endpoint.client("s3"), stack.outputs["BlobsBucketName"])
        settings = Settings.read(SecretArns.from_outputs(stack.outputs).environment())
        secrets = Secrets(settings, client=stack.endpoint.client("secretsmanager"))
        write_objects(table, TenantBlobs(bucket, TenantId(ACME)), secrets)

    async def _serve(self, stack: Stack, addresses: Mapping[str, str]) -> LambdaService:
        """Start the Lambda service, the invoke proxy and the front server, and return the Lambda service.

        `addresses` are variables with the addresses of helper servers.
        """
        functions = await asyncio.to_thread(read_functions, stack)
        addresses = {"AWS_ENDPOINT_URL": stack.endpoint.url, **addresses}
        service = LambdaService(functions, self._children, self._log, addresses=addresses)
        self._endings.append(service.close)
        proxy_socket = claim_port(0)
        proxy = LocalServer(InvokeProxy(service), proxy_socket)
        await proxy.start()
        self._endings.append(proxy.stop)
        await asyncio.to_thread(route_invocations, functions, f"http://{HOST}:{port_of(proxy_socket)}/", stack)
        front = Front(read_api(stack), service, self._log, self._configuration.stage_prefix)
        self._endings.append(front.close)
        server = LocalServer(front, self._front_socket)
        await server.start()
        self._endings.append(server.stop)
        return service

    def _parameters(self, models: Models) -> dict[str, str]:
        """Return the template's parameters.

        If the API has a stage prefix, PublicUrl is empty, as on AWS without a custom domain.
        """
        return {
            "Environment": "dev",
            "PublicUrl": "" if self._configuration.stage_prefix else self.host_url,
            **models.parameters,
            "WebSearchProvider": SEARCH_PROVIDER,
            "LogLevel": {"WARNING": "WARN"}.get(self._configuration.log_level, self._configuration.log_level),
        }

    def _note_loss(self, child: Child) -> None:
        self._failure = StartFailed(f"the {child.name} ended with status {child.status}; see .local/dev.log")
        self._ended.set()

    async def _end_all(self) -> None:
        """Stop the servers in the reverse order of their start, and then all child processes.

        A server has 5 s to stop.
        """
        for end in reversed(self._endings):
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(end(), timeout=5)
        self._front_socket.close()
        await self._children.stop_all()
