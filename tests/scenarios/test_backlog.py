"""Where tasks wait for workers: the urgent goes first, and one unit's flood does not keep another unit waiting (K1)."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))
from stage import Stage, new_database, staged, until
from stories import DIRECTORY, NORTH, OTHER_PHASES, POLICY, SOUTH, opening

from omhand.client import CaseClient
from omhand.codec import data_converter
from omhand.contract.names import Kind
from workers.embedded import TemporalServer
from workers.load import load
from workers.migrate import migrate
from workers.settings import Settings
from workers.worker import register_search_attributes, serving

FLOOD = 90
AT_ONCE = 40
"""So many tasks a worker with nothing to do may let in at once (`workers.limits`); what is done with them ends in any
order."""


@pytest.fixture
async def stage(postgres_server: str, temporal_server: TemporalServer, tmp_path: Path) -> AsyncIterator[Stage]:
    dsn = await new_database(postgres_server, "backlog")
    await asyncio.to_thread(migrate, dsn)
    (tmp_path / "directory.toml").write_text(DIRECTORY)
    (tmp_path / "policy.toml").write_text(POLICY + OTHER_PHASES)
    await load(dsn, tmp_path / "directory.toml", tmp_path / "policy.toml")
    async with staged(dsn, temporal=temporal_server, served=False) as stage:
        yield stage


async def test_an_urgent_case_is_told_before_a_flood_and_another_unit_has_its_turn(stage: Stage) -> None:
    async with await CaseClient.connect(stage.client) as client:
        for number in range(FLOOD):
            await client.open(Kind.DROP_IN_VISIT, opening(f"flood-{number:02}") | {"unit": NORTH, "priority": 4})
        for number in range(3):
            await client.open(Kind.DROP_IN_VISIT, opening(f"turn-{number}") | {"unit": SOUTH, "priority": 4})
        await client.open(Kind.DROP_IN_VISIT, opening("urgent") | {"unit": SOUTH, "priority": 2})
    worker = await stage.connect(data_converter=data_converter(None))
    await register_search_attributes(worker)
    # Twenty a second: notifications wait, too.
    settings = Settings(database_url=stage.dsn, gateway_url=stage.gateway.url, notices_per_second=20)
    async with serving(worker, settings):
        await until(lambda: all_told(stage), seconds=60)
    told = [call["case_id"] for call in stage.gateway.calls]
    assert told.index("urgent") <= AT_ONCE
    assert max(told.index(f"turn-{number}") for number in range(3)) <= AT_ONCE + 3


async def all_told(stage: Stage) -> bool:
    return len(stage.gateway.calls) == FLOOD + 4
