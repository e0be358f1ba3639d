"""What operators see of a case in the Temporal Web UI: search attributes, current details, summaries.

Nothing here says who the patient is or what is wrong with them. Times are in UTC: a workflow knows no time zone.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from decisions.case import Case
from omhand.contract.names import SearchAttribute
from omhand.contract.plan import Moment

KIND: Final = SearchAttributeKey.for_keyword(SearchAttribute.CASE_KIND)
STATUS: Final = SearchAttributeKey.for_keyword(SearchAttribute.CASE_STATUS)
PRIORITY: Final = SearchAttributeKey.for_int(SearchAttribute.CASE_PRIORITY)
PROFESSION: Final = SearchAttributeKey.for_keyword(SearchAttribute.PROFESSION)
RESPONSIBLE_UNIT: Final = SearchAttributeKey.for_keyword(SearchAttribute.RESPONSIBLE_UNIT)
OFFERED_TO: Final = SearchAttributeKey.for_keyword_list(SearchAttribute.OFFERED_TO)
ESCALATION_LEVEL: Final = SearchAttributeKey.for_int(SearchAttribute.ESCALATION_LEVEL)
DUE_AT: Final = SearchAttributeKey.for_datetime(SearchAttribute.DUE_AT)
OVERDUE: Final = SearchAttributeKey.for_bool(SearchAttribute.OVERDUE)


class Listing:
    """The case's search attributes, sent only where they have changed."""

    def __init__(self) -> None:
        self._shown: dict[str, SearchAttributeUpdate[Any]] = {}

    def changes(self, case: Case, now: datetime) -> list[SearchAttributeUpdate[Any]]:
        """What has to be upserted for the list to be right at ``now``."""
        new = [update for update in attributes(case, now) if self._shown.get(update.key.name) != update]
        self._shown.update({update.key.name: update for update in new})
        return new


def attributes(case: Case, now: datetime) -> list[SearchAttributeUpdate[Any]]:
    """All of contract §4."""
    return [
        KIND.value_set(case.kind.value),
        STATUS.value_set(case.status.value),
        PRIORITY.value_unset() if case.priority is None else PRIORITY.value_set(case.priority),
        PROFESSION.value_set(case.profession),
        RESPONSIBLE_UNIT.value_set(case.responsible_unit),
        OFFERED_TO.value_set(list(dict.fromkeys(offer.unit for offer in case.open_offers))),
        ESCALATION_LEVEL.value_set(case.escalation_level),
        DUE_AT.value_unset() if case.due_at is None else DUE_AT.value_set(case.due_at),
        OVERDUE.value_set(case.is_overdue(now)),
    ]


def details(case: Case, linked: Sequence[str], now: datetime) -> str:
    """A table in Markdown that an operator can read without knowing the code."""
    offered = ", ".join(f"{offer.unit} ({offer.why})" for offer in case.open_offers)
    holder = f"{case.holder.staff}, {case.holder.profession}" if case.holder else ""
    rows = [
        ("Case", f"{case.case_id}, {case.kind}, priority {case.priority or 'none'}, for {case.profession}"),
        ("Status", f"**{case.status}**" + (f", {case.outcome}" if case.outcome else "")),
        ("Responsible unit", f"{case.responsible_unit}" + (f" ({holder})" if holder else "")),
        ("Offered to", offered or "nobody else"),
        *_relations(case),
        ("Escalation level", str(case.escalation_level)),
        ("Due", _due(case, now)),
        ("Next", next_up(case)),
        ("Same patient", ", ".join(linked) or "no other open case"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _relations(case: Case) -> Iterator[tuple[str, str]]:
    """What of a case most have not: a handover that waits, a ticket or a time, consultations, the case that asks."""
    pending = case.handover
    if pending:
        by = f", to be answered by {_utc(pending.plan.due_at)}" if pending.plan.due_at else ""
        yield (
            "Handover",
            f"to {pending.to_unit} ({pending.ground}){by}; {case.responsible_unit} is responsible until then",
        )
    if case.ticket and case.booking is None:
        yield "Ticket", f"of {case.ticket.unit}, valid until {_utc(case.ticket.valid_until)}"
    if case.booking:
        yield "Booked", f"{_utc(case.booking.starts_at)} at {case.booking.unit}"
    if case.consultations:
        yield "Consultations", ", ".join(f"{each.case_id} ({each.status})" for each in case.consultations)
    if case.asker:
        about = f", about the case {case.asker.case_id}" if case.asker.case_id else ""
        yield "Asked by", f"{case.asker.by.unit}{about}"


def _due(case: Case, now: datetime) -> str:
    if case.due_at is None:
        return "nothing is due"
    return f"{_utc(case.due_at)}" + (" **overdue**" if case.is_overdue(now) else "")


def next_up(case: Case) -> str:
    """What happens next by itself, and when."""
    moment = case.next_moment()
    if moment is None:
        return "nothing by itself" if case.is_open else "nothing more"
    return f"{_utc(moment.at)}: {_deed(case, moment)}"


def _deed(case: Case, moment: Moment) -> str:
    # What a handover's own plan does is about the unit that is to answer it.
    unit = case.handover.to_unit if case.handover and case.is_handover_next else case.responsible_unit
    if moment.do == "offer" and not moment.off:
        return f"offer to {', '.join(moment.units) or 'nobody: the manager is alerted'} ({moment.why})"
    return {
        "notify": f"notify {moment.staff or unit}",
        "begin_visit": f"the visit begins: notify {unit}",
        "expire": f"the ticket runs out: tell {unit}, and close the case",
        "offer": f"notify {unit}",
        "alert_manager": f"alert the manager of {unit}",
        "tell_sender": f"tell {case.responsible_unit} that {unit} has not answered",
        "warn_of_closing": f"warn {unit} that it closes soon",
        "leave_at_closing": f"{unit} closes: alert its manager, offer to {', '.join(moment.units) or 'nobody'}",
    }[moment.do]


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
