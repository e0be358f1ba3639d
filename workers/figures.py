"""Figures for people: how many cases wait, for how long, and whether the program itself is well.

Every worker reads them from Postgres now and then, and shows them where Prometheus finds the SDK's own metrics. All
show the same: whoever asks takes the largest (``max by (…)``), never the sum. Where Postgres is away they stay as they
were, and `AT` stands still: that is an alarm of its own. No figure is about a patient, or about a canary's case.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import asyncpg
import structlog
from temporalio.client import Client
from temporalio.common import MetricMeter
from temporalio.runtime import Runtime

from activities.postgres.pool import open_pool, query
from decisions.canary import CANARY_UNIT
from workers.settings import Settings

READ_EVERY: Final = timedelta(seconds=15)

AT: Final = "omhand_figures_at_seconds"
CANARY_EVERY: Final = "omhand_canary_every_seconds"

FIGURES: Final[Mapping[str, str]] = {
    "omhand_cases_open": "Open cases, by the responsible unit, kind and status.",
    "omhand_cases_overdue": "Open cases whose instant has passed, as the worklist says it, by unit and priority.",
    "omhand_time_to_accept_seconds": "From opened to accepted, of what was accepted in the last 24 hours: quantiles.",
    "omhand_accepted_cases": "Cases accepted in the last 24 hours, in time or not.",
    "omhand_escalations": "Escalations in the last 24 hours, by the unit that was responsible then.",
    "omhand_notifications": "Notifications that wait to be sent; of the last 24 hours those that failed for good.",
    "omhand_oldest_unsent_notification_age_seconds": "How long the oldest notification has waited; 0: none waits.",
    "omhand_audit_at_seconds": "Unix time of the last audit; 0: there has been none.",
    "omhand_audit_findings": "What differs between Postgres and Temporal now, by fault.",
    "omhand_canary_at_seconds": "Unix time of the end of the last canary, or of the first start where none has ended.",
    "omhand_canary_seconds": "How long the last canary took.",
    CANARY_EVERY: "How often a canary is opened; without a value: never.",
    AT: "Unix time at which the figures were last read; 0: not yet.",
}
"""Each with its help text (docs/operations.md has the table)."""

Labels = tuple[tuple[str, str], ...]
Values = Mapping[Labels, float]

log = structlog.get_logger(__name__)


class Figures:
    """What is shown. A value whose labels are gone is set to 0: an endpoint forgets nothing by itself."""

    def __init__(self, meter: MetricMeter) -> None:
        self._gauges = {
            name: meter.create_gauge_float(name, told, "s" if name.endswith("_seconds") else None)
            for name, told in FIGURES.items()
        }
        self._shown: dict[str, set[Labels]] = defaultdict(set)

    def show(self, name: str, values: Values) -> None:
        """Show these values of a figure, and no others."""
        for labels in self._shown[name] - values.keys():
            self._gauges[name].set(0, dict(labels))
        for labels, value in values.items():
            self._gauges[name].set(value, dict(labels))
        self._shown[name] |= values.keys()


@asynccontextmanager
async def showing_figures(client: Client, settings: Settings, *, every: timedelta = READ_EVERY) -> AsyncIterator[None]:
    """While the context is open the figures are read that often, where there is an address to show them at.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or does not let us in.
    """
    if settings.metrics_address is None:
        yield
        return
    figures = Figures((client.service_client.config.runtime or Runtime.default()).metric_meter)
    figures.show(AT, {(): 0})
    if settings.canary_every:
        figures.show(CANARY_EVERY, {(): settings.canary_every.total_seconds()})
    async with open_pool(settings.database_url, most=1) as pool:  # its own: it neither waits for cases nor they for it
        reading = asyncio.create_task(_keep_reading(pool, figures, every))
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def _keep_reading(pool: asyncpg.Pool, figures: Figures, every: timedelta) -> None:
    while True:
        try:
            for name, values in (await read_figures(pool)).items():
                figures.show(name, values)
            figures.show(AT, {(): time.time()})
        except Exception as error:  # noqa: BLE001 - whatever it is, cases are served meanwhile, and it is tried again
            log.warning("the figures could not be read, and will be tried again", error=type(error).__name__)
        await asyncio.sleep(every.total_seconds())


async def read_figures(pool: asyncpg.Pool | asyncpg.Connection) -> dict[str, Values]:
    """All that stands in Postgres, by the figure's name and the labels of each value.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be reached, or does not let us.
    """
    cases = await pool.fetch(query("figures_cases"), CANARY_UNIT)
    accepted = await pool.fetch(query("figures_accepted"))
    escalations = await pool.fetch(query("figures_escalations"), CANARY_UNIT)
    notices = await pool.fetchrow(query("figures_notifications"), CANARY_UNIT)
    findings = await pool.fetch(query("figures_findings"))
    watch = await pool.fetchrow(query("figures_watch"))
    return {
        "omhand_cases_open": _sums(cases, "open", "unit", "kind", "status"),
        "omhand_cases_overdue": _sums(cases, "overdue", "unit", "priority"),
        "omhand_time_to_accept_seconds": {
            _labels(priority=row["priority"], quantile=quantile): seconds
            for row in accepted
            for quantile, seconds in zip(("0.5", "0.9"), row["seconds"], strict=True)
        },
        "omhand_accepted_cases": {
            _labels(priority=row["priority"], in_time=in_time): row[column]
            for row in accepted
            for in_time, column in (("true", "in_time"), ("false", "late"))
        },
        "omhand_escalations": _sums(escalations, "escalations", "unit"),
        "omhand_notifications": {_labels(status=status): notices[status] for status in ("pending", "failed")},
        "omhand_oldest_unsent_notification_age_seconds": _one(notices["oldest_seconds"]),
        "omhand_audit_at_seconds": _one(watch["audit_at"] or Decimal(0)),
        "omhand_audit_findings": _sums(findings, "findings", "fault"),
        "omhand_canary_at_seconds": _one(watch["canary_at"]),
        "omhand_canary_seconds": _one(watch["canary_seconds"]),
    }


def _one(value: Decimal | None) -> Values:
    return {} if value is None else {(): float(value)}


def _labels(**labels: str) -> Labels:
    return tuple(labels.items())


def _sums(rows: Iterable[Mapping[str, Any]], column: str, *labels: str) -> Values:
    """The column, added up over the rows that have these labels alike."""
    sums: dict[Labels, float] = defaultdict(float)
    for row in rows:
        sums[tuple((label, row[label]) for label in labels)] += row[column]
    return sums
