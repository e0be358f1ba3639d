"""A database of its own for each test, with the schema and, where wanted, the rules of the small region."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from activities.directory import Rules
from activities.identity import Identity, TokenSettings
from activities.postgres.pool import open_pool
from activities.records import Records
from workers.load import load
from workers.migrate import migrate

sys.path.insert(0, str(Path(__file__).parent))
import samples
from fake_gateway import FakeGateway
from fake_idp import Clock, FakeIdp

NUMBERS = itertools.count(1)


def of_database(dsn: str, name: str) -> str:
    """The DSN of another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def create_database(server: str, template: str) -> str:
    """A new database, a copy of a template; its DSN."""
    name = f"activities_{next(NUMBERS)}"
    connection = await asyncpg.connect(server)
    await connection.execute(f'create database "{name}" template "{template}"')
    await connection.close()
    return of_database(server, name)


@pytest.fixture(scope="session")
async def migrated(postgres_server: str) -> str:
    """The name of a database with nothing but the schema, to be copied."""
    dsn = await create_database(postgres_server, "template0")
    await asyncio.to_thread(migrate, dsn)
    return urlsplit(dsn).path[1:]


@pytest.fixture(scope="session")
async def ruled(postgres_server: str, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with the schema and the small region's rules, to be copied."""
    dsn = await create_database(postgres_server, migrated)
    await load(dsn, *write_files(tmp_path_factory.mktemp("rules")))
    return urlsplit(dsn).path[1:]


@pytest.fixture
async def empty(postgres_server: str) -> str:
    """A database without anything; its DSN."""
    return await create_database(postgres_server, "template0")


@pytest.fixture
async def unruled(postgres_server: str, migrated: str) -> str:
    """A database with the schema, and no rules; its DSN."""
    return await create_database(postgres_server, migrated)


@pytest.fixture
async def dsn(postgres_server: str, ruled: str) -> str:
    """A database with schema and rules; its DSN."""
    return await create_database(postgres_server, ruled)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections to a database with schema and rules."""
    async with open_pool(dsn) as connections:
        yield connections


@pytest.fixture
def rules(pool: asyncpg.Pool) -> Rules:
    """The rules of that database."""
    return Rules(pool)


@pytest.fixture
def records(pool: asyncpg.Pool, rules: Rules) -> Records:
    """What writes steps into it."""
    return Records(pool, rules)


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    """A gateway that is a real server on loopback."""
    async with FakeGateway() as gateway:
        yield gateway


@pytest.fixture
async def idp() -> AsyncIterator[FakeIdp]:
    """An identity provider that is a real server on loopback."""
    async with FakeIdp() as provider:
        yield provider


@pytest.fixture
def clock() -> Clock:
    """By which keys grow old."""
    return Clock()


@pytest.fixture
async def identity(idp: FakeIdp, clock: Clock) -> AsyncIterator[Identity]:
    """What believes that provider's tokens."""
    async with Identity(TokenSettings(jwks=idp.url, issuer=idp.issuer), clock=clock) as verifier:
        yield verifier


def write_files(folder: Path, directory: str = samples.DIRECTORY, policy: str = samples.POLICY) -> tuple[Path, Path]:
    """The two files of the rules, in a folder."""
    paths = folder / "directory.toml", folder / "policy.toml"
    for path, text in zip(paths, (directory, policy), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The small region's files."""
    return write_files(tmp_path)
