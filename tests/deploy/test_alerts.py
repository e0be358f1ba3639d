"""Each alert is fired once: by what it tells of, on a real worker with its Postgres, Temporal and gateway.

The workers' own endpoint is scraped, and the rules' expressions are evaluated over that. How long each has to last is
promtool's matter (`make alerts`).
"""

import asyncio
import json
import re
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import promql_parser
import pytest
import yaml
from temporalio.client import Client

from omhand.codec import EncryptionCodec, KeyRing, data_converter
from workers.children import free_ports
from workers.embedded import embedded_temporal
from workers.figures import AT, FIGURES, showing_figures
from workers.settings import Settings
from workers.worker import connect, register_search_attributes, serving

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
sys.path.insert(0, str(Path(__file__).parent))
from promql import Scrapes, Vector, selectors
from stage import FAST_POLICY, Gateway, Line, Stage, line_to, listening, load_rules, new_database, says, until
from stories import NURSE_NORTH, opening

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
RULES = {
    rule["alert"]: rule
    for group in yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
BOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))

LONGER_THAN_SLOW = 5.2
"""Seconds. What waits longer than 5 s is slow."""


@dataclass
class Scene:
    """A worker and what it needs, each of which can be taken away; and what its endpoint has said."""

    stage: Stage
    settings: Settings
    worker: Client
    postgres: Line
    temporal: Line
    endpoint: Line
    seen: set[str] = field(default_factory=set)
    scrapes: Scrapes = field(default_factory=Scrapes)
    fired: dict[str, Vector] = field(default_factory=dict)
    quiet: dict[str, Vector] = field(default_factory=dict)

    async def scrape(self, *, later: float = 0) -> float:
        """Keep what the endpoint says, as if it were so much later; at which unix time."""
        text, at = await asyncio.to_thread(self._read), time.time() + later
        self.scrapes.add(at, text, "omhand", "worker:9464")
        self.seen |= self.scrapes.series.keys()
        return at

    def _read(self) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.endpoint.port}/metrics", timeout=5) as page:
                return str(page.read().decode())
        except OSError:
            return None

    async def fires(self, *alerts: str, later: float = 0) -> None:
        """Each of them does within seconds, were the endpoint as it is now so much later."""

        async def now() -> bool:
            at = await self.scrape(later=later)
            told = {alert: self.scrapes.evaluate(RULES[alert]["expr"], at) for alert in alerts}
            self.fired |= {alert: vector for alert, vector in told.items() if vector}
            return self.fired.keys() >= set(alerts)

        await until(now)

    def begin(self) -> None:
        """Forget what was scraped, so that what has happened before counts no more."""
        self.scrapes = Scrapes()

    async def shows(self, name: str, value: float) -> None:
        """Wait for a figure."""

        async def now() -> bool:
            await self.scrape()
            return value in {samples[-1][1] for samples in self.scrapes.series[name].values()}

        await until(now)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Cases are served."""
        async with serving(self.worker, self.settings):
            yield


@asynccontextmanager
async def a_scene(postgres_server: str, folder: Path) -> AsyncIterator[Scene]:
    """All of it, with nothing amiss; figures are read all the time."""
    keys = folder / "keys"
    KeyRing.create(keys)
    dsn = await new_database(postgres_server, "alerts")
    await load_rules(dsn, FAST_POLICY)
    async with AsyncExitStack() as resources:
        postgres, through = await resources.enter_async_context(line_to(dsn))
        server = await resources.enter_async_context(embedded_temporal())
        [port] = free_ports(0)
        temporal, endpoint = Line(("127.0.0.1", int(server.address.split(":")[1]))), Line(("127.0.0.1", port))
        for line in (temporal, endpoint):
            await line.mend()
            resources.push_async_callback(line.cut)
        gateway = Gateway()
        await resources.enter_async_context(listening(gateway))
        settings = Settings(
            through,
            gateway.url,
            keys_file=keys,
            metrics_address=f"127.0.0.1:{port}",
            notices_per_second=1000.0,
            canary_every=timedelta(minutes=5),
        )
        resources.enter_context(pytest.MonkeyPatch.context()).setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{temporal.port}")
        worker = await connect(settings)
        await register_search_attributes(worker)
        client = await Client.connect(server.address, data_converter=data_converter(EncryptionCodec(keys)))
        pool = await resources.enter_async_context(asyncpg.create_pool(dsn, min_size=1, max_size=2))
        await resources.enter_async_context(showing_figures(worker, settings, every=timedelta(milliseconds=100)))
        stage = Stage(client, dsn, pool, gateway, folder, server.address)
        yield Scene(stage, settings, worker, postgres, temporal, endpoint)


@pytest.fixture(scope="module")
async def played(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """The whole story: all is well, then one thing after the other is not."""
    async with a_scene(postgres_server, tmp_path_factory.mktemp("alerts")) as scene:
        async with scene.served():
            await all_is_well(scene)
            await cases_and_notices_are_late(scene)
            await a_key_is_missing(scene)
            await temporal_is_away(scene)
        await the_program_is_not_well(scene)
        await everything_waits(scene)
        await nobody_answers(scene)
        yield scene


async def all_is_well(scene: Scene) -> None:
    stage = scene.stage
    await stage.pool.execute("insert into omhand.audits values (now(), 1)")
    await stage.pool.execute("insert into omhand.canaries values ('k', now() - interval '2 s', now(), '2 s')")
    handle = await stage.start("well")
    await handle.execute_update("accept", {"by": NURSE_NORTH})
    await stage.settled("well")
    await scene.shows("omhand_cases_open", 1)
    await scene.shows("omhand_canary_seconds", 2)
    await handle.execute_update("note", {"by": NURSE_NORTH, "text": "all is well"})
    at = await scene.scrape()
    scene.quiet = {alert: scene.scrapes.evaluate(rule["expr"], at) for alert, rule in RULES.items()}


async def cases_and_notices_are_late(scene: Scene) -> None:
    """Nobody takes a case; the gateway refuses a call, and does not take another."""
    stage = scene.stage
    stage.gateway.answers |= {"refused": [says(400)], "unsent": [says(503)] * 99}
    await stage.start("refused")
    await stage.start("unsent", priority=4)
    await scene.fires("OmhandNotificationsFailed", "OmhandUrgentCasesOverdue", "OmhandCasesOverdue")
    await stage.pool.execute(
        "update omhand.notifications set created_at = created_at - interval '6 min' where status = 'pending'"
    )
    await scene.fires("OmhandNotificationsWait")


async def a_key_is_missing(scene: Scene) -> None:
    """Cases are opened under a key that the worker has not."""
    stage, ring = scene.stage, scene.stage.folder / "theirs"
    KeyRing.create(ring)
    theirs = await Client.connect(stage.address, data_converter=data_converter(EncryptionCodec(ring)))
    for case_id in ("locked", "locked-too"):
        await theirs.start_workflow("DropInVisit", opening(case_id), id=f"case-{case_id}", task_queue="cases")

        async def has_failed() -> bool:
            await scene.scrape()
            return bool(scene.scrapes.series.get("temporal_workflow_task_execution_failed"))

        await until(has_failed)
    await scene.fires("OmhandTasksFail")


async def temporal_is_away(scene: Scene) -> None:
    await scene.temporal.cut()
    await scene.fires("OmhandTemporalAway")
    await scene.temporal.mend()


async def the_program_is_not_well(scene: Scene) -> None:
    """An audit has found something, and there has been none since; canaries do not come back."""
    pool = scene.stage.pool
    await pool.execute("insert into omhand.findings values ('c', 'not_running', now(), now())")
    await pool.execute("update omhand.audits set at = now() - interval '16 min'")
    await pool.execute("update omhand.canaries set finished_at = now() - interval '16 min'")
    await scene.fires("OmhandAuditFindings", "OmhandAuditSilent", "OmhandCanarySilent")


async def everything_waits(scene: Scene) -> None:
    """A case waits for a worker, and what was done to another for Postgres."""
    stage = scene.stage
    well = stage.client.get_workflow_handle("case-well")
    async with scene.served():
        await well.query("view")
        await scene.postgres.cut()
        noted = asyncio.create_task(well.execute_update("note", {"by": NURSE_NORTH, "text": "while it is away"}))

        async def goes_on_as_a_regular_activity() -> bool:
            return bool((await well.describe()).raw_description.pending_activities)

        await until(goes_on_as_a_regular_activity)
    scene.begin()
    await scene.scrape()
    for case_id in ("waits", "waits-too", "waits-as-well"):
        await stage.start(case_id)
    slow = asyncio.create_task(asyncio.sleep(LONGER_THAN_SLOW))  # that it takes long is what is told
    waits = scene.scrapes
    scene.begin()
    await scene.fires("OmhandPostgresAway", later=90)
    scene.begin()
    await scene.fires("OmhandFiguresStale", later=310)
    scene.scrapes = waits
    await slow
    await scene.postgres.mend()
    async with scene.served():
        await noted
        await scene.fires("OmhandBacklog", "OmhandRecordLag")


async def nobody_answers(scene: Scene) -> None:
    await scene.endpoint.cut()
    await scene.fires("OmhandWorkersGone", "OmhandWorkerDown")
    at = time.time()
    scene.scrapes.add(at, None, "codec-server", "codec-server:8081")
    scene.fired["OmhandCodecServerDown"] = scene.scrapes.evaluate(RULES["OmhandCodecServerDown"]["expr"], at)


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_is_silent_while_all_is_well(alert: str, played: Scene) -> None:
    assert played.quiet[alert] == {}


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_fires_when_what_it_tells_of_has_happened(alert: str, played: Scene) -> None:
    assert played.fired.get(alert)


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_says_how_bad_it_is_and_what_to_do(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{alert.lower()}"


def expressions() -> dict[str, str]:
    """What the alerts and the dashboards ask for, by where it stands."""
    asked = {alert: str(rule["expr"]) for alert, rule in RULES.items()}
    for board in BOARDS:
        for panel in json.loads(board.read_text(encoding="utf-8"))["panels"]:
            for nth, target in enumerate(panel.get("targets", ())):
                asked[f"{board.stem}/{panel['title']}/{nth}"] = target["expr"]
    return asked


@pytest.mark.parametrize("where", expressions())
def test_what_is_asked_for_is_what_a_worker_shows(where: str, played: Scene) -> None:
    names = {selector.name for selector in selectors(promql_parser.parse(expressions()[where]))}
    assert names
    assert names <= played.seen


def test_a_worker_shows_every_figure(played: Scene) -> None:
    assert FIGURES.keys() - played.seen <= {"omhand_escalations"}  # nothing had to be escalated
    assert AT in played.seen


def boards() -> list[Any]:
    return [pytest.param(json.loads(board.read_text(encoding="utf-8")), id=board.stem) for board in BOARDS]


@pytest.mark.parametrize("board", boards())
def test_a_dashboard_is_one_that_is_provisioned(board: dict[str, Any]) -> None:
    assert board["title"]
    assert re.fullmatch(r"omhand-[a-z]+", board["uid"])
    assert board["id"] is None
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "prometheus"}
