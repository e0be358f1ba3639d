"""The worker: a process that serves the cases and sends the notifications."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import asyncpg
import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from activities.access import AccessLog
from activities.answers import Answers
from activities.assertions import Assertions
from activities.audits import Audits
from activities.canaries import Canaries
from activities.consultations import Consultations
from activities.directory import Rules
from activities.identity import Identity
from activities.lag import LAG_BUCKETS, RECORD_LAG
from activities.notices import Gateway
from activities.patients import Patients, WrongLinkingKey, adopt_linking_key
from activities.postgres.pool import MOST_CONNECTIONS, open_pool
from activities.records import Records
from activities.reports import Reports
from activities.revival import Revival
from omhand.client.tracing import tracing
from omhand.codec import encryption
from omhand.contract.names import CASES_QUEUE, NOTICES_QUEUE, RECORDS_QUEUE, SEARCH_ATTRIBUTE_TYPES, SearchAttribute
from workers.figures import showing_figures
from workers.limits import CACHED_CASES, GRACE, NOTICES_AT_ONCE, RECORDS_PER_SECOND, tuner
from workers.logs import core_logging
from workers.migrate import schema_fault
from workers.queues import warn_where_nothing_is_given
from workers.schedules import keeping_schedules
from workers.settings import DATABASE_URL, KEYS_FILE, Settings, SettingsError, temporal_connect_config
from workflows.entrance import Entrance

log = structlog.get_logger(__name__)

READY: Final = "ready"
"""The line on standard output that says: this worker is serving."""

DEPLOYMENT: Final = "omhand"
"""The name of the worker deployment that the versions of this program belong to."""

INDEXED_TYPES: Final = {
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "KeywordList": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    "Int": IndexedValueType.INDEXED_VALUE_TYPE_INT,
    "Datetime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    "Bool": IndexedValueType.INDEXED_VALUE_TYPE_BOOL,
}


async def connect(settings: Settings) -> Client:
    """The connection to Temporal: metrics and traces where they are wanted, payloads encrypted where there are keys.

    The traces are its workers' too.
    """
    address = settings.metrics_address
    buckets = {RECORD_LAG: LAG_BUCKETS}
    metrics = (
        PrometheusConfig(bind_address=address, durations_as_seconds=True, histogram_bucket_overrides=buckets)
        if address
        else None
    )
    runtime = Runtime(telemetry=TelemetryConfig(logging=core_logging(), metrics=metrics))
    plugin = encryption(settings.codec("mark"))
    traces = tracing("omhand-worker")
    config = temporal_connect_config()
    return await Client.connect(**config, plugins=[plugin], interceptors=traces, runtime=runtime)


async def missing_search_attributes(client: Client) -> list[SearchAttribute]:
    """Those of contract §4 that the namespace does not have."""
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), timeout=timedelta(seconds=10)
    )
    return sorted(set(SEARCH_ATTRIBUTE_TYPES) - set(listed.custom_attributes))


async def register_search_attributes(client: Client) -> None:
    """Those that are missing: an upsert of an unknown one would block its case."""
    missing = {
        str(name): INDEXED_TYPES[SEARCH_ATTRIBUTE_TYPES[name]] for name in await missing_search_attributes(client)
    }
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing),
            timeout=timedelta(seconds=10),
        )


@asynccontextmanager
async def serving(client: Client, settings: Settings, *, cached_cases: int = CACHED_CASES) -> AsyncIterator[Rules]:
    """Cases and notifications are served while the context is open, by the rules that it gives."""
    async with (
        open_pool(settings.database_url) as pool,
        Gateway(pool, settings.gateway_url, settings.gateway_secret) as gateway,
        Identity(settings.tokens) as identity,
    ):
        patients = await _patients(pool, settings)
        assertions = Assertions(pool, patients, identity, required=settings.require_assertions)
        rules = Rules(pool, assertions)
        records = Records(pool, rules, patients)
        of_cases = [records.record, *_of_cases(client, pool, rules, assertions, settings.heartbeat_url)]
        async with (
            _cases(client, settings, of_cases, cached_cases),
            _of_one_activity(client, settings, RECORDS_QUEUE, records.record, MOST_CONNECTIONS, RECORDS_PER_SECOND),
            _of_one_activity(
                client, settings, NOTICES_QUEUE, gateway.send_notice, NOTICES_AT_ONCE, settings.notices_per_second
            ),
        ):
            yield rules


def _cases(client: Client, settings: Settings, activities: Sequence[Callable[..., Any]], cached_cases: int) -> Worker:
    return Worker(
        client,
        task_queue=CASES_QUEUE,
        workflows=[Entrance],
        activities=activities,
        # What the sandbox watches for is forbidden by lint here, and proved by replay; it costs a third of a task.
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=cached_cases,
        tuner=tuner(),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
        deployment_config=_deployment(settings),
    )


def _of_one_activity(
    client: Client, settings: Settings, queue: str, activity: Callable[..., Any], at_once: int, per_second: float
) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        activities=[activity],
        max_concurrent_activities=at_once,
        # The server keeps to it for all workers together.
        max_task_queue_activities_per_second=per_second,
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
        deployment_config=_deployment(settings),
    )


def _deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    """This version of the program among others that run beside it; None: whoever has time takes what there is to do.

    A case lives for months, so it moves to the version that operators have made the current one, at its next task:
    the stored histories prove that it can. One that they have pinned stays.
    """
    if settings.build_id is None:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=settings.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


async def _patients(pool: asyncpg.Pool, settings: Settings) -> Patients:
    linking = settings.linking_key()
    try:
        await adopt_linking_key(pool, linking)
    except WrongLinkingKey as fault:
        raise SettingsError([f"{KEYS_FILE}: {fault}"]) from fault
    return Patients(pool, linking)


def _of_cases(
    client: Client, pool: asyncpg.Pool, rules: Rules, assertions: Assertions, heartbeat_url: str | None
) -> list[Callable[..., Any]]:
    """The activities that serve the cases' own queue, beside that which records."""
    consultations, reports, canaries = Consultations(pool), Reports(pool, rules, client), Canaries(pool)
    audits = Audits(pool, client, heartbeat_url)
    return [
        AccessLog(pool, assertions).log_for_client,
        Answers(pool).look_up_answered,
        rules.look_up,
        rules.look_up_opening,
        rules.look_up_route,
        rules.confirm_opened,
        consultations.look_up_ended,
        consultations.look_up_asking,
        reports.compare,
        reports.record_alarms,
        reports.look_for_free_times,
        audits.audit,
        audits.send_heartbeat,
        Revival(pool).take_over,
        canaries.begin,
        canaries.until,
        canaries.end,
    ]


async def run_worker(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        SettingsError: the database cannot be reached, or its schema does not serve this version, or the key ring has
            not its linking key.
    """
    try:
        schema = await schema_fault(settings.database_url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
        words = f"Postgres does not answer, or does not let us in ({type(fault).__name__})"
        raise SettingsError([f"{DATABASE_URL}: {words}"]) from fault
    if schema:
        raise SettingsError([f"{DATABASE_URL}: {schema}"])
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    client = await connect(settings)
    if deployment := _deployment(settings):
        await warn_where_nothing_is_given(client, deployment.version)
    await register_search_attributes(client)
    async with (
        serving(client, settings) as rules,
        keeping_schedules(client, rules, canary_every=settings.canary_every),
        showing_figures(client, settings),
    ):
        log.info("worker is serving", queues=[CASES_QUEUE, RECORDS_QUEUE, NOTICES_QUEUE])
        print(READY, flush=True)  # noqa: T201 - whoever started the process waits for this line
        await stopped.wait()
        log.info("worker is stopping")
