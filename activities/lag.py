"""How far behind Postgres is: from the moment that something happened to a case until it stands in its row."""

from datetime import UTC, datetime
from typing import Final

from temporalio import activity

from decisions.errands import Step

RECORD_LAG: Final = "omhand_record_lag_seconds"
LAG_BUCKETS: Final = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Seconds: a step is written in a tenth of one where all is well, and after hours where Postgres was away."""


def observe_lag(step: Step) -> None:
    """Count how long ago the last event of a step was, now that it has been written."""
    if step.events and activity.in_activity():
        lag = datetime.now(UTC) - step.events[-1].at
        meter = activity.metric_meter()
        histogram = meter.create_histogram_float(RECORD_LAG, "From an event until it stood in Postgres.", "s")
        histogram.record(max(lag.total_seconds(), 0.0))  # the server's clock may be ahead of this one
