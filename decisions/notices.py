"""To whom a notification goes, and in what words (K1f, R1; contract §6). Never a word about the patient."""

from datetime import tzinfo
from typing import Final, Protocol

from decisions.effects import Notice, Recipient
from omhand.contract.directory import Staff, Unit
from omhand.contract.names import Channel, Kind, Phase, Reason
from omhand.contract.wire import Wire


class Addressed(Protocol):
    """What says whom at a unit it is for."""

    @property
    def to(self) -> Recipient:
        """Whom."""


class Address(Wire):
    """Where a notification goes. An empty recipient: there is nobody to send it to, which counts as not delivered."""

    channel: Channel
    recipient: str


KIND_WORDS: Final = {
    Kind.DROP_IN_VISIT: "drop in-besök",
    Kind.SCHEDULED_VISIT: "schemalagt besök",
    Kind.ADMINISTRATIVE_CASE: "administrativt ärende",
    Kind.CONSULTATION: "konsultation",
    Kind.PHONE_CONSULTATION: "konsultation från 1177 på telefon",
    Kind.MESSAGE_THREAD: "meddelande",
}

REASON_WORDS: Final = {
    Reason.NEW_CASE: "Nytt ärende att ta om hand",
    Reason.REMINDER: "Påminnelse: ärendet är inte omhändertaget",
    Reason.ESCALATED: "Ärendet har eskalerats till fler enheter. Er enhet ansvarar tills någon annan accepterat",
    Reason.OFFERED: "En annan enhets ärende kan tas över av er",
    Reason.HANDOVER_REQUESTED: "Ni ombeds ta över ett ärende",
    Reason.HANDOVER_REFUSED: "Överlämningen har nekats. Ärendet är kvar hos er",
    Reason.HANDOVER_UNANSWERED: "Överlämningen är inte besvarad",
    Reason.HANDOVER_WITHDRAWN: "Överlämningen är inte längre aktuell och behöver inte besvaras",
    Reason.CONSULTATION: "Ny konsultation att besvara",
    Reason.CONSULTATION_ANSWERED: "Konsultationen har fått svar",
    Reason.CONSULTATION_WITHDRAWN: "Konsultationen är inte längre aktuell och behöver inte besvaras",
    Reason.UNANSWERED: "Konsultationen är inte besvarad",
    Reason.CLOSING_SOON: "Enheten stänger snart och ärendet är inte omhändertaget",
    Reason.LEFT_AT_CLOSING: "Ärendet är kvar vid stängning",
    Reason.MESSAGE: "Patienten har skrivit i ärendet",
    Reason.TICKET_EXPIRED: "Bokningsbiljetten har gått ut utan att någon tid har bokats",
    Reason.BOOKING_CANCELLED: "Besökets bokning har ändrats",
    Reason.MANAGER_ALERT: "Till verksamhetschef: ärendet har inte hanterats i tid",
    Reason.GATEWAY_FAILED: "Till verksamhetschef: en avisering om ärendet kunde inte levereras",
    Reason.NO_FREE_TIMES: "Till verksamhetschef: enheten har inga lediga tider att boka",
}

ACCEPTED_WORDS: Final = "Påminnelse: ärendet är accepterat men inte avslutat"
TICKET_WORDS: Final = {
    Reason.NEW_CASE: "Ny bokningsbiljett: patienten har inte bokat tid än",
    Reason.REMINDER: "Påminnelse: bokningsbiljetten är inte använd",
    Reason.MANAGER_ALERT: "Till verksamhetschef: bokningsbiljetten är inte använd",
}
MESSAGE_WORDS: Final = {
    Reason.NEW_CASE: "En patient har skrivit och väntar på svar",
    Reason.REMINDER: "Påminnelse: patienten har inte fått svar",
    Reason.MANAGER_ALERT: "Till verksamhetschef: patienten har inte fått svar i tid",
}
UNANSWERED_WORDS: Final = "Till verksamhetschef: en överlämning har inte besvarats i tid"


def address(notice: Addressed, unit: Unit | None, staff: Staff | None = None) -> Address:
    """Whom to reach: the unit's phone, or its manager by phone where there is one, else by email.

    A member of staff who is meant has a phone of their own; one who has none any more is reached by the unit's (K6b).
    """
    if unit is None:
        return Address(channel=Channel.PHONE, recipient="")
    if notice.to == "staff" and staff and staff.phone:
        return Address(channel=Channel.PHONE, recipient=staff.phone)
    if notice.to in {"unit", "staff"}:
        return Address(channel=Channel.PHONE, recipient=unit.phone)
    if notice.to == "manager" and unit.manager.phone:
        return Address(channel=Channel.PHONE, recipient=unit.manager.phone)
    return Address(channel=Channel.EMAIL, recipient=unit.manager.email or "")


def text(notice: Notice, unit: Unit | None, zone: tzinfo) -> str:
    """What is said, in Swedish: why, what kind, how urgent, by when in local time, at which unit, and the case's id."""
    parts = [f"{_why(notice)}: {KIND_WORDS[notice.kind]}"]
    if notice.priority is not None:
        parts.append(f"prio {notice.priority}")
    if notice.due_at is not None:
        parts.append(f"senast {notice.due_at.astimezone(zone):%Y-%m-%d %H:%M}")
    parts.append(unit.name if unit else notice.unit)
    return f"{', '.join(parts)}. Ärende {notice.case_id}."


def _why(notice: Notice) -> str:
    if notice.phase is Phase.ACCEPTED and notice.reason in {Reason.NEW_CASE, Reason.REMINDER}:
        return ACCEPTED_WORDS
    if notice.phase is Phase.HANDOVER and notice.reason is Reason.MANAGER_ALERT:
        return UNANSWERED_WORDS
    of_phase = {Phase.TICKET: TICKET_WORDS, Phase.MESSAGE: MESSAGE_WORDS}.get(notice.phase, {})
    return of_phase.get(notice.reason, REASON_WORDS[notice.reason])
