"""Every process of Omhand, started as its container would be: its command, its environment, its files and packages.

The servers are embedded ones: Postgres made ready by the script that the image would run, Temporal by that which makes
the namespace. What cannot be had here is a container: who the process is, and that it may write nowhere but to /tmp.
"""

import asyncio
import itertools
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGTERM
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg
import pytest
import yaml
from compose import Container, container, read_compose
from google.protobuf import json_format
from image import Image, laid_out
from temporalio.api.common.v1 import Payloads
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from omhand.cli.place import find_place
from omhand.client import CaseClient
from omhand.contract.names import SEARCH_ATTRIBUTE_TYPES
from workers import embedded
from workers.children import free_ports
from workers.embedded import TemporalServer, embedded_postgres, embedded_temporal
from workers.worker import INDEXED_TYPES

sys.path.insert(0, str(Path(__file__).parents[1] / "activities"))
from fake_idp import FakeIdp

UNIT, DOCTOR = "SE2321000198-HC01", "SE2321000198-S001"
LOGINS = ("omhand", "omhand_app", "temporal")


async def run(
    *words: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None, seconds: float = 60
) -> tuple[int, str, str]:
    """Run a command to its end; its status, and what it said."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, env=env, cwd=cwd, stdout=pipe, stderr=pipe)
    try:
        out, err = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def dynamic_settings(root: Path) -> list[str]:
    """What deploy/temporal/dynamicconfig.yaml says, as Temporal's command line takes it."""
    settings = yaml.safe_load((root / "deploy/temporal/dynamicconfig.yaml").read_text())
    return [f"{name}={json.dumps(value['value'])}" for name, (value,) in settings.items()]


# Postgres


async def made_ready(root: Path, admin: str, secrets: Path) -> tuple[int, str, str]:
    """Run the script that the image runs in a new server."""
    psql = embedded._binaries() / "psql"
    script = root / "deploy/postgres/init.sql"
    options = ("--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--set", f"secrets={secrets}", "--file", script)
    return await run(psql, *options, admin, env={"PATH": os.defpath})


@asynccontextmanager
async def a_new_server(folder: Path) -> AsyncIterator[str]:
    """A Postgres as the image has it at first: a superuser ``postgres``, and no other login; how he connects."""
    async with embedded_postgres(folder) as dsn:
        parts = urlsplit(dsn)
        connection = await asyncpg.connect(dsn)
        await connection.execute("create role postgres superuser login password 'of the superuser'")
        await connection.close()
        address = f"{parts.hostname}:{parts.port}"
        admin = urlunsplit(parts._replace(netloc=f"postgres:of%20the%20superuser@{address}", path="/postgres"))
        connection = await asyncpg.connect(admin)
        await connection.execute("drop database omhand")
        await connection.execute("alter role omhand rename to of_the_embedded_server")
        await connection.close()
        yield admin


# The deployment


@dataclass
class Deployment:
    """What the containers would find, and where their processes work."""

    root: Path
    folder: Path
    image: Image
    secrets: Path
    compose: dict[str, Any]
    admin: str
    temporal: TemporalServer
    idp: FakeIdp
    ports: dict[str, str]
    """Ports of the containers, and those in their place here."""

    def container(self, service: str) -> Container:
        """What the service's container is given."""
        return container(self.compose, service, self.root, self.secrets)

    def here(self, given: Container, text: str) -> str:
        """The text, with this machine's paths and ports."""
        for there, port in self.ports.items():
            text = re.sub(rf"\b{there}\b", port, text)
        return given.here(text)

    def environment(self, service: str, **more: str) -> dict[str, str]:
        """The environment of the service's process, and nothing of ours."""
        given = self.container(service)
        own = {name: self.here(given, value) for name, value in given.environment.items()}
        return self.image.environment | {"HOME": str(self.folder)} | own | more

    def words(self, service: str, *instead: str) -> list[str]:
        """The command of the service's process."""
        given = self.container(service)
        return self.image.command([self.here(given, word) for word in instead or given.command])

    async def once(self, service: str, *instead: str, **more: str) -> str:
        """Run a service that ends by itself, and well; what it said."""
        env = self.environment(service, **more)
        status, out, err = await run(*self.words(service, *instead), env=env, cwd=self.folder)
        assert status == 0, out + err
        return out

    @asynccontextmanager
    async def serving(self, service: str, ready: bytes) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a service that serves; it is told to stop at the end, and does, in its time and well."""
        words, env, log = self.words(service), self.environment(service), self.folder.parent / f"{service}.log"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *words, env=env, cwd=self.folder, stdout=asyncio.subprocess.PIPE, stderr=errors
            )
        try:
            assert process.stdout
            line = await asyncio.wait_for(process.stdout.readline(), 60)
            assert line.startswith(ready), log.read_text()[-2000:]
            yield process
            process.send_signal(SIGTERM)
            grace = self.compose["services"][service].get("stop_grace_period", "10s")
            assert await asyncio.wait_for(process.wait(), float(grace.removesuffix("s"))) == 0
        finally:
            with suppress(ProcessLookupError):
                process.kill()

    async def is_healthy(self, service: str) -> bool:
        """What its health check says."""
        given = self.container(service)
        program, *words = (self.here(given, word) for word in given.health)
        assert program == "python"
        status, _, _ = await run(sys.executable, *words)
        return status == 0

    async def rows(self, query: str) -> list[dict[str, Any]]:
        """What the superuser finds in Omhand's database."""
        connection = await asyncpg.connect(urlunsplit(urlsplit(self.admin)._replace(path="/omhand")))
        try:
            return [dict(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()


@pytest.fixture(scope="module")
async def deployment(root: Path, secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """The servers, made ready."""
    folder = tmp_path_factory.mktemp("processes")
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(a_new_server(folder / "postgres"))
        extra_args = [word for setting in dynamic_settings(root) for word in ("--dynamic-config-value", setting)]
        temporal = await stack.enter_async_context(embedded_temporal(extra_args=extra_args))
        idp = await stack.enter_async_context(FakeIdp())
        metrics, codec = free_ports(0, 0)
        variables = {
            "OMHAND_TOKEN_JWKS": idp.url,
            "OMHAND_TOKEN_ISSUER": idp.issuer,
            "TEMPORAL_ADDRESS": temporal.address,
            "POSTGRES_ADDRESS": f"127.0.0.1:{urlsplit(admin).port}",
        }
        work = folder / "work"
        work.mkdir()
        image = await asyncio.to_thread(laid_out, root, folder / "image")
        compose = read_compose(root, variables)
        ports = {"9464": str(metrics), "8234": str(codec)}
        yield Deployment(root, work, image, secrets, compose, admin, temporal, idp, ports)


async def test_a_deployment_comes_up_serves_a_case_and_goes_down(deployment: Deployment, tmp_path: Path) -> None:
    root, admin = deployment.root, deployment.admin
    status, _, err = await made_ready(root, admin, tmp_path)
    assert (status, "division by zero" in err) == (3, True)  # without passwords there are no logins
    status, _, err = await made_ready(root, admin, deployment.secrets)
    assert status == 0, err

    assert "of this version" in await deployment.once("migrate")
    assert "version 1 is in force" in await deployment.once("load")
    worker = deployment.serving("worker", b"ready\n")
    codec_server = deployment.serving("codec-server", b"the codec server answers")
    async with AsyncExitStack() as running:
        await asyncio.gather(*(running.enter_async_context(service) for service in (worker, codec_server)))
        await a_case_from_beginning_to_end(deployment)
        health = (deployment.is_healthy(service) for service in ("worker", "codec-server"))
        assert all(await asyncio.gather(*health))
        await asyncio.gather(all_is_well(deployment), it_is_shown(deployment), its_payload_is_decoded(deployment))
    logins = await deployment.rows("select distinct login from omhand.access_log")
    assert [row["login"] for row in logins] == ["omhand_app"]
    assert list(deployment.folder.iterdir()) == []  # they write nothing


async def a_case_from_beginning_to_end(deployment: Deployment) -> None:
    """Opened, accepted and closed by somebody for whom the identity provider vouches."""
    now = datetime.now(UTC)
    token = deployment.idp.token(now, sub=DOCTOR)
    keys = deployment.secrets / "keyring/keys"
    by = {"staff": DOCTOR, "unit": UNIT, "profession": "doctor"}
    outcome = json.loads((deployment.root / "examples/outcomes.jsonl").read_text().splitlines()[0])
    connecting = CaseClient.connect(address=deployment.temporal.address, keys_file=keys, assertion=token)
    async with await connecting as client:
        await client.intake(outcome | {"case_id": "d1"})
        await client.act("d1", "accept", {"by": by})
        await client.act("d1", "close", {"by": by, "outcome": "treated", "held_as": "video"})
        assert (await client.temporal.get_workflow_handle("case-d1").result())["status"] == "closed"


HAS_BEGUN = """
select exists (select from omhand.canaries where finished_at is not null) and exists (select from omhand.audits) as all
"""


async def all_is_well(deployment: Deployment) -> None:
    """The doctor finds nothing, once the first canary has lived and the first audit has been made."""
    async with asyncio.timeout(60):
        while await deployment.rows(HAS_BEGUN) != [{"all": True}]:  # noqa: ASYNC110 - of a database that tells nobody
            await asyncio.sleep(0.1)
    await deployment.once("omhand")


async def it_is_shown(deployment: Deployment) -> None:
    """As a command in a container shows it: in this process, as starting another takes seconds."""
    token = deployment.idp.token(datetime.now(UTC), sub=DOCTOR)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in deployment.environment("omhand", OMHAND_ASSERTION=token).items():
            patch.setenv(name, value)
        client = await find_place(None).connect()
    async with client:
        assert (await client.view("d1")).status == "closed"
        assert {row.case_id for row in await client.log("d1")} == {"d1"}  # from Postgres


async def its_payload_is_decoded(deployment: Deployment) -> None:
    """What Temporal holds of it is unreadable, and the codec server shows it to who may see it."""
    client = await Client.connect(deployment.temporal.address)
    history = await client.get_workflow_handle("case-d1").fetch_history()
    payloads = history.events[0].workflow_execution_started_event_attributes.input.payloads
    assert payloads[0].metadata["encoding"] == b"binary/encrypted"
    url = f"http://127.0.0.1:{deployment.ports['8234']}/decode"
    token = deployment.idp.token(datetime.now(UTC), sub=DOCTOR, permissions=["default:codec"])
    headers = {"X-Namespace": "default", "Authorization": f"Bearer {token}"}
    body = json_format.MessageToJson(Payloads(payloads=payloads))
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 200
        (decoded,) = json_format.ParseDict(await answer.json(), Payloads()).payloads
    assert json.loads(decoded.data)["case_id"] == "d1"


# The servers by themselves


def test_temporal_is_set_as_everywhere_else(root: Path) -> None:
    words = embedded._OPTIONS
    elsewhere = {value for option, value in itertools.pairwise(words) if option == "--dynamic-config-value"}
    assert elsewhere
    assert elsewhere <= set(dynamic_settings(root))


async def test_each_login_may_what_it_has_to_and_no_more(deployment: Deployment) -> None:
    address = urlsplit(deployment.admin)

    async def may(login: str, database: str, statement: str = "select 1") -> bool:
        password = (deployment.secrets / f"{login}_password").read_text()
        dsn = f"postgresql://{login}:{password}@{address.hostname}:{address.port}/{database}"
        try:
            connection = await asyncpg.connect(dsn)
        except asyncpg.InsufficientPrivilegeError:
            return False
        try:
            await connection.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            return False
        finally:
            await connection.close()
        return True

    databases = ("omhand", "temporal", "temporal_visibility")
    entered = {login: [database for database in databases if await may(login, database)] for login in LOGINS}
    assert entered == {
        "omhand": ["omhand"],
        "omhand_app": ["omhand"],
        "temporal": ["temporal", "temporal_visibility"],
    }
    assert not await may("omhand_app", "omhand", "create table omhand.t ()")
    assert not await may("omhand", "omhand", "create role another")
    # Its own tool makes its tables.
    assert await may("temporal", "temporal_visibility", "create table t ()")


async def test_the_namespace_has_its_retention_and_the_search_attributes_of_the_contract(
    deployment: Deployment,
) -> None:
    # §4
    service = deployment.compose["services"]["temporal-namespace"]
    given = deployment.container("temporal-namespace")
    program, script = service["entrypoint"]
    env = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "HOME": str(deployment.folder)}
    env |= given.environment | {"TEMPORAL_ADDRESS": deployment.temporal.address, "TEMPORAL_NAMESPACE": "another"}
    for _ in ("once", "again"):
        status, _, err = await run(program, given.here(script), env=env)
        assert status == 0, err
    client = await Client.connect(deployment.temporal.address, namespace="another")
    described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="another"))
    assert described.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=30)
    listed = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="another"))
    assert dict(listed.custom_attributes) == {
        str(name): INDEXED_TYPES[kind] for name, kind in SEARCH_ATTRIBUTE_TYPES.items()
    }
