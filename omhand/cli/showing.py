"""Cases as people read them in a terminal. Whatever came from outside is shown as text, never as markup or control."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from omhand.client import SlotRow, WorklistRow
from omhand.contract.actions import By, ThePatient
from omhand.contract.view import BookingView, ConsultationView, HandoverView, OfferView, View

WIDTH_OF_A_FILE: Final = 200
"""Columns where the output goes to a file or another program."""

NOT_SHOWN: Final = frozenset({"plan", "answer_plan", "key", "moment", "kind", "origin"})
"""Details of the log that tell a reader nothing new."""

MAY_BE_LONG: Final = frozenset({"case", "what", "slot"})
"""Columns that are broken where the terminal is narrow; the others stay whole."""


def console() -> Console:
    """Standard output."""
    out = Console(highlight=False, markup=False, emoji=False)
    return out if out.is_terminal else Console(highlight=False, markup=False, emoji=False, width=WIDTH_OF_A_FILE)


def shown(value: object) -> Text:
    """Anything, as text that no terminal takes for an instruction; nothing for None."""
    text = "" if value is None else str(value)
    return Text("".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text))


def local(at: datetime | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """An instant in the time zone of this machine."""
    return at.astimezone().strftime(form) if at else ""


def case_panel(view: View) -> RenderableType:
    """The case in short."""
    rows: Sequence[tuple[str, object]] = (
        ("status", f"{view.status}" + (f", {view.outcome}" if view.outcome else "")),
        ("responsible", view.responsible_unit),
        ("has it", view.assigned_to or "nobody yet"),
        ("offered to", "\n".join(map(_offer, view.offers)) or "nobody else"),
        ("due", _due(view)),
        ("escalation level", view.escalation_level or None),
        ("handover", _handover(view.handover) if view.handover else None),
        ("consultations", "\n".join(map(_consultation, view.consultations))),
        ("ticket", _ticket(view)),
        ("booked", _booking(view.booking) if view.booking else None),
        ("patient of", f"county {view.patient_region}, another than this" if view.out_of_region else None),
        ("same patient", ", ".join(view.linked_cases)),
        ("opened", local(view.opened_at)),
        ("accepted", local(view.accepted_at)),
        ("closed", local(view.closed_at)),
    )
    grid = Table.grid(padding=(0, 2))
    for name, value in rows:
        if value:
            grid.add_row(name, shown(value), style="bold red" if name == "due" and view.overdue else "")
    priority = f", priority {view.priority}" if view.priority else ""
    title = f"{view.case_id}: {view.kind}{priority}, for {view.profession}"
    return Panel(grid, title=shown(title), title_align="left", expand=False)


def case_and_log(view: View) -> RenderableType:
    """The case in short, and everything that happened to it."""
    log = _table("#", "at", "event", "by", "what")
    if view.earlier_events:
        log.caption = f"{view.earlier_events} earlier rows stand in omhand.case_log"
    for event in view.log:
        log.add_row(
            *map(
                shown, (event.seq, local(event.at, "%m-%d %H:%M:%S"), event.event, _actor(event.by), told(event.detail))
            )
        )
    return Group(case_panel(view), log)


def worklist_table(unit: str, rows: Iterable[WorklistRow], caption: str | None = None) -> RenderableType:
    """The cases that a unit may act on; overdue ones are marked, and a patient's other open cases stand below with a +.

    Fits a terminal of 80 columns.
    """
    table = _table("due", "case", "stands", "status", "what", "who")
    table.title, table.caption = unit, caption
    for row in rows:
        cells = (
            local(row.due_at, "%m-%d %H:%M") + ("\nOVERDUE" if row.overdue else ""),
            "\n+ ".join((row.case_id, *row.linked_cases)),
            row.stands,
            row.status,
            f"{row.kind}\n{row.profession}"
            + (f", {row.priority}" if row.priority else "")
            + (f"\ncounty {row.patient_region}" if row.out_of_region else ""),
            row.assigned_to or (row.responsible_unit if row.responsible_unit != unit else None),
        )
        table.add_row(*map(shown, cells), style="bold red" if row.overdue else "")
    return table


def slots_table(rows: Iterable[SlotRow]) -> RenderableType:
    """Bookable times, the earliest first."""
    table = _table("starts", "for", "slot", "unit", "profession", "")
    for row in rows:
        starts = local(row.starts_at, "%Y-%m-%d %H:%M")
        table.add_row(
            *map(shown, (starts, row.length, row.slot_id, row.unit_id, row.profession, "" if row.is_free else "held"))
        )
    return table


def entries_table(rows: Iterable[Any], *, staff: bool) -> RenderableType:
    """Entries of the access log, the oldest first."""
    table = _table("when", "what", "case", "unit", "", *(("who",) if staff else ()))
    for row in rows:
        who = "the patient" if row.by_patient else row.staff
        cells = (local(row.at, "%Y-%m-%d %H:%M:%S"), row.action, row.case_id, row.unit, row.unit_name)
        table.add_row(*map(shown, (*cells, *((who,) if staff else ()))))
    return table


def told(detail: Mapping[str, Any]) -> str:
    """An event's detail in one line."""
    parts = [
        f"{key} {_worth(value)}"
        for key, value in detail.items()
        if key not in NOT_SHOWN and value not in (None, False, [])
    ]
    return ", ".join(parts)


def _worth(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_worth, value))
    if isinstance(value, dict):
        return str(value["unit"]) if "unit" in value else " ".join(_worth(each) for each in value.values() if each)
    return str(value)


def _table(*columns: str) -> Table:
    table = Table(
        *columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left", caption_justify="left"
    )
    for column in table.columns:
        column.overflow = "fold"
        column.no_wrap = column.header not in MAY_BE_LONG
    return table


def _offer(offer: OfferView) -> str:
    until = f", until {local(offer.answer_by)}" if offer.answer_by else ""
    return f"{offer.unit} ({offer.why}, offer {offer.offer}{until})"


def _handover(handover: HandoverView) -> str:
    meant = ", ".join(each for each in (handover.to_profession, handover.to_staff) if each)
    until = f", until {local(handover.answer_by)}" if handover.answer_by else ""
    return f"asked of {handover.to_unit}" + (f" ({meant})" if meant else "") + f": {handover.ground}{until}"


def _ticket(view: View) -> str | None:
    if view.ticket is None or view.booking:
        return None
    return f"of {view.ticket.unit}, valid {local(view.ticket.valid_from)} to {local(view.ticket.valid_until)}"


def _booking(booking: BookingView) -> str:
    return f"{local(booking.starts_at)} at {booking.unit} ({booking.slot})"


def _consultation(consultation: ConsultationView) -> str:
    agreed = ", takes it over" if consultation.takes_over else ""
    return f"{consultation.case_id}, {consultation.to_unit}: {consultation.status}{agreed}"


def _due(view: View) -> str:
    return local(view.due_at) + (" OVERDUE" if view.overdue else "") if view.due_at else "nothing is due"


def _actor(by: By | None) -> str:
    if by is None:
        return ""
    return "the patient" if isinstance(by, ThePatient) else f"{by.staff}, {by.profession}\n{by.unit}"
