"""The embedded servers: started, killed, started again with everything kept, and nothing left behind."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from temporalio.client import Client

from omhand.contract.names import SEARCH_ATTRIBUTE_TYPES
from workers.children import EmbeddedError, claim, free_ports, start_child
from workers.embedded import embedded_postgres, embedded_temporal, running_postgres

ROOT = Path(__file__).parents[2]

HOLDER = """
import asyncio, json, sys
from pathlib import Path
from workers import children, embedded
if "unleashed" in sys.argv:  # as where the kernel cannot be asked
    children._die_with = lambda parent, death: None
async def main():
    folder = Path(sys.argv[1])
    temporal_server = embedded.embedded_temporal(folder / "t")
    async with embedded.running_postgres(folder / "pg") as postgres, temporal_server as temporal:
        told = {"dsn": postgres.dsn, "address": temporal.address,
                "pids": [postgres.child.process.pid, temporal.child.process.pid]}
        print(json.dumps(told), flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


@asynccontextmanager
async def holder(folder: Path, *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """Another process that runs both servers, as `omhand dev` does; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(folder), *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        told = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        yield process, told
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def working_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() in {"postgres", "temporal", "initdb"} and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


async def all_gone(folder: Path, seconds: float = 10) -> bool:
    for _ in range(round(seconds / 0.05)):
        if not working_in(folder):
            return True
        await asyncio.sleep(0.05)
    return False


async def keep(dsn: str, text: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (text text PRIMARY KEY)")
    await connection.execute("INSERT INTO kept VALUES ($1)", text)
    await connection.close()


async def kept(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT text FROM kept ORDER BY text")
    await connection.close()
    return [row["text"] for row in rows]


async def open_a_workflow(address: str, workflow_id: str) -> None:
    client = await Client.connect(address)
    await client.start_workflow("Waiting", id=workflow_id, task_queue="nobody")


async def is_open(address: str, workflow_id: str) -> bool:
    client = await Client.connect(address)
    described = await client.get_workflow_handle(workflow_id).describe()
    return described.status is not None and described.status.name == "RUNNING"


SetUp = Callable[[Path], None]


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Postgres that has run, and has nothing in it: to set one up takes longer than all else here."""
    folder = tmp_path_factory.mktemp("made")
    async with embedded_postgres(folder):
        pass
    return folder


@pytest.fixture
def set_up(made: Path) -> SetUp:
    """Makes a folder one in which Postgres has run."""

    def copied(folder: Path) -> None:
        shutil.copytree(made / "data", folder / "data")
        shutil.copy(made / "password", folder)

    return copied


# Postgres


async def test_postgres_keeps_its_data_and_leaves_no_process(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path) as dsn:
        assert dsn.endswith("/omhand")
        await keep(dsn, "a")
        assert working_in(tmp_path)
    assert not working_in(tmp_path)
    async with embedded_postgres(tmp_path) as dsn:
        assert await kept(dsn) == ["a"]
    assert not working_in(tmp_path)


async def test_postgres_is_durable_and_nobody_gets_in_without_the_password(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path) as dsn:
        connection = await asyncpg.connect(dsn)
        shown = [await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit", "timezone")]
        await connection.close()
        assert shown == ["on", "on", "UTC"]
        user, _, rest = dsn.removeprefix("postgresql://").partition(":")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://{user}:guess@{rest.partition('@')[2]}")
    assert (tmp_path / "password").stat().st_mode & 0o77 == 0


async def test_what_a_statement_held_does_not_reach_the_log_of_postgres(tmp_path: Path, set_up: SetUp) -> None:
    set_up(tmp_path)
    async with embedded_postgres(tmp_path) as dsn:
        await keep(dsn, "191212121212")
        with pytest.raises(asyncpg.UniqueViolationError, match="191212121212"):
            await keep(dsn, "191212121212")
        connection = await asyncpg.connect(dsn)
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute("SELECT '191212121212'::date + nothing")
        await connection.close()
    log = (tmp_path / "postgres.log").read_text()
    assert "ready to accept connections" in log
    assert "191212121212" not in log


async def test_a_path_that_is_too_long_for_a_socket_is_no_matter(tmp_path: Path) -> None:
    folder = tmp_path / ("å mapp?#%&" * 10) / ("x" * 200)
    async with embedded_postgres(folder / "pg") as dsn, embedded_temporal(folder / "t") as temporal:
        await keep(dsn, "a")
        await open_a_workflow(temporal.address, "case-a")
    async with embedded_postgres(folder / "pg") as dsn, embedded_temporal(folder / "t") as temporal:
        assert await kept(dsn) == ["a"]
        assert await is_open(temporal.address, "case-a")


async def test_a_path_that_is_too_long_for_sqlite_is_said(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="more than SQLite"):
        async with embedded_temporal(tmp_path / ("x" * 200) / ("y" * 200) / ("z" * 100)):
            pass


async def test_what_a_killed_initdb_left_is_made_anew(tmp_path: Path) -> None:
    draft = tmp_path / "data.new"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18")
    (tmp_path / "password").write_text("old")
    async with embedded_postgres(tmp_path) as dsn:
        await keep(dsn, "a")
    assert not draft.exists()


async def test_a_password_that_is_gone_is_said(tmp_path: Path, set_up: SetUp) -> None:
    set_up(tmp_path)
    (tmp_path / "password").unlink()
    with pytest.raises(EmbeddedError, match="the password of the data is gone"):
        async with embedded_postgres(tmp_path):
            pass


async def test_data_that_postgres_cannot_use_ends_in_its_own_words(tmp_path: Path, set_up: SetUp) -> None:
    set_up(tmp_path)
    (tmp_path / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(EmbeddedError, match=r"(?s)postgres ended while starting.*incompatible"):
        async with embedded_postgres(tmp_path):
            pass
    assert not working_in(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to hand Postgres to somebody else")
async def test_a_copy_that_root_made_of_the_data_can_be_used(tmp_path: Path) -> None:
    async with embedded_postgres(tmp_path) as dsn:
        await keep(dsn, "a")
    for path in (tmp_path / "data", *(tmp_path / "data").rglob("*")):
        os.chown(path, 0, 0)
    async with embedded_postgres(tmp_path) as dsn:
        assert await kept(dsn) == ["a"]


async def test_a_start_that_is_broken_off_leaves_no_process(tmp_path: Path) -> None:
    async def start() -> None:
        async with embedded_postgres(tmp_path / "pg"), embedded_temporal(tmp_path / "t"):
            await asyncio.sleep(600)

    for seconds in (0.01, 0.1, 0.3, 0.5, 0.7):
        task = asyncio.create_task(start())
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not working_in(tmp_path)
    async with embedded_postgres(tmp_path / "pg") as dsn:
        await keep(dsn, "a")


# Temporal


async def test_temporal_knows_the_search_attributes_and_keeps_its_workflows(tmp_path: Path) -> None:
    for run in range(2):
        async with embedded_temporal(tmp_path) as temporal:
            assert temporal.ui is None
            if run == 0:
                await open_a_workflow(temporal.address, "case-a")
            assert await is_open(temporal.address, "case-a")
        assert not working_in(tmp_path)


async def test_temporal_in_memory_takes_dynamic_configuration_and_leaves_no_file() -> None:
    arguments = ["--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"]
    async with embedded_temporal(extra_args=arguments) as temporal:
        await open_a_workflow(temporal.address, "case-a")
        folder = temporal.child.log.parent
        assert folder.exists()
    assert not folder.exists()
    assert not working_in(folder)


async def test_the_web_ui_answers_and_knows_its_codec_server(tmp_path: Path) -> None:
    codec = "http://127.0.0.1:9/codec"
    async with embedded_temporal(tmp_path, ui_port=0, codec_endpoint=codec) as temporal:
        assert temporal.ui
        host, port = temporal.ui.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /api/v1/settings HTTP/1.0\r\nHost: ui\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert codec.encode() in answer


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedError, match=f"port {port} .*in use"):
            async with embedded_temporal(tmp_path, port):
                pass
        with pytest.raises(EmbeddedError, match=f"port {port} .*in use"):
            async with embedded_temporal(tmp_path, ui_port=port):
                pass


async def test_a_server_that_ends_while_starting_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"(?s)temporal ended while starting.*unknown flag: --nonsense"):
        async with embedded_temporal(tmp_path, extra_args=["--nonsense"]):
            pass


async def test_temporal_takes_nothing_from_the_settings_of_whoever_starts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal.example.org:7233")
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "none"))
    async with embedded_temporal(tmp_path) as temporal:
        await open_a_workflow(temporal.address, "case-a")


def test_every_search_attribute_has_a_slot_of_its_type() -> None:
    assert len(SEARCH_ATTRIBUTE_TYPES) == 9


# Killed


async def test_a_killed_run_takes_its_servers_with_it_and_loses_nothing(tmp_path: Path, set_up: SetUp) -> None:
    set_up(tmp_path / "pg")
    async with holder(tmp_path) as (process, told):
        await keep(told["dsn"], "a")
        await open_a_workflow(told["address"], "case-a")
        process.kill()
        await process.wait()
        if sys.platform == "linux":
            assert await all_gone(tmp_path)
    async with holder(tmp_path) as (_, told):
        assert await kept(told["dsn"]) == ["a"]
        assert await is_open(told["address"], "case-a")
    assert await all_gone(tmp_path)


async def test_everything_killed_at_once_loses_nothing(tmp_path: Path, set_up: SetUp) -> None:
    set_up(tmp_path / "pg")
    for run in range(3):
        async with holder(tmp_path) as (process, told):
            assert run == 0 or len(await kept(told["dsn"])) == run
            await keep(told["dsn"], str(run))
            await open_a_workflow(told["address"], f"case-{run}")
            for victim in (*working_in(tmp_path), psutil.Process(process.pid)):
                victim.kill()
    async with running_postgres(tmp_path / "pg") as postgres, embedded_temporal(tmp_path / "t") as temporal:
        assert await kept(postgres.dsn) == ["0", "1", "2"]
        assert all([await is_open(temporal.address, f"case-{run}") for run in range(3)])
    assert not working_in(tmp_path)


async def test_servers_that_outlived_a_killed_run_are_stopped_at_the_next_start(tmp_path: Path, set_up: SetUp) -> None:
    set_up(tmp_path / "pg")
    async with holder(tmp_path, "unleashed") as (process, told):
        await keep(told["dsn"], "a")
        await open_a_workflow(told["address"], "case-a")
        process.kill()
        await process.wait()
    survivors = [psutil.Process(pid) for pid in told["pids"]]
    assert all(survivor.is_running() for survivor in survivors)
    async with embedded_postgres(tmp_path / "pg") as dsn, embedded_temporal(tmp_path / "t") as temporal:
        assert not any(survivor.is_running() for survivor in survivors)
        assert await kept(dsn) == ["a"]
        assert await is_open(temporal.address, "case-a")
    assert not working_in(tmp_path)


async def test_a_survivor_that_does_not_listen_is_killed(tmp_path: Path, set_up: SetUp) -> None:
    set_up(tmp_path / "pg")
    async with holder(tmp_path, "unleashed") as (process, told):
        await keep(told["dsn"], "a")
        for pid in told["pids"]:
            os.kill(pid, signal.SIGSTOP)
        process.kill()
        await process.wait()
    async with embedded_postgres(tmp_path / "pg") as dsn, embedded_temporal(tmp_path / "t"):
        assert await kept(dsn) == ["a"]
    assert not working_in(tmp_path)


async def test_a_server_that_dies_can_be_waited_for(tmp_path: Path, set_up: SetUp) -> None:
    set_up(tmp_path)
    async with running_postgres(tmp_path) as postgres:
        os.kill(postgres.child.process.pid, signal.SIGKILL)
        assert await asyncio.wait_for(postgres.child.exited(), 10) == -signal.SIGKILL
    assert not working_in(tmp_path)


async def test_what_a_killed_child_started_is_killed_with_it(tmp_path: Path) -> None:
    # As initdb starts Postgres by way of a shell, which no name gives away.
    command = ["sh", "-c", "sleep 600 & echo $!; wait"]
    child = await start_child("sh", command, log=tmp_path / "log", folder=tmp_path, stdout=asyncio.subprocess.PIPE)
    assert child.process.stdout
    grandchild = psutil.Process(int(await asyncio.wait_for(child.process.stdout.readline(), 10)))
    await child.stop(signal.SIGKILL)
    gone, _ = await asyncio.to_thread(psutil.wait_procs, [grandchild], 10)
    assert gone == [grandchild]


async def test_a_server_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    async with embedded_temporal(tmp_path) as temporal:
        os.kill(temporal.child.process.pid, signal.SIGSTOP)
    assert temporal.child.process.returncode == -signal.SIGKILL


# Folders and ports


async def test_a_folder_in_use_is_refused_and_its_holder_named(tmp_path: Path, set_up: SetUp) -> None:
    set_up(tmp_path / "pg")
    async with holder(tmp_path) as (process, told):
        for server in (embedded_postgres(tmp_path / "pg"), embedded_temporal(tmp_path / "t")):
            with pytest.raises(EmbeddedError, match=rf"in use .*\(process {process.pid}\)"):
                async with server:
                    pass
        await keep(told["dsn"], "a")
    async with embedded_postgres(tmp_path / "pg"):
        pass


def test_a_folder_is_refused_to_the_same_process_too(tmp_path: Path) -> None:
    with claim(tmp_path, "dev"):
        with claim(tmp_path, "another"):
            pass
        with pytest.raises(EmbeddedError, match=f"process {os.getpid()}"), claim(tmp_path, "dev"):
            pass
    with claim(tmp_path, "dev") as folder:
        assert folder == tmp_path.resolve()


def test_free_ports_are_all_different() -> None:
    ports = free_ports(*[0] * 50)
    assert len(set(ports)) == 50
