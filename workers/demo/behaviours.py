"""What may become of a case in the demo, and how many cases meet what."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from omhand.contract.names import Kind


class Behaviour(StrEnum):
    """What becomes of a case."""

    IN_TIME = "taken in time by the unit that received it"
    LATE = "taken late by that unit"
    BY_OTHERS = "taken by another unit that is offered it"
    AFTER_MANAGER = "taken when the manager has been alerted"
    RACE = "accepted by two in the same instant"
    RELEASED = "accepted, given back, and taken by another"
    REPRIORITISED = "given another priority, then taken"
    CANCELLED = "cancelled by the patient"
    KEPT = "accepted, and open when the demo ends"
    LEFT = "nobody takes it: it stays on the worklists"

    HANDED_OVER = "handed over to another unit, which accepts"
    HANDOVER_REFUSED = "handed over, refused with a reason, and handled by the sender"
    HANDOVER_WITHDRAWN = "handed over, taken back by the sender"
    HANDOVER_UNANSWERED = "handed over, and accepted when the receiver's manager has been alerted"
    HANDED_TO_COLLEAGUE = "handed over to a colleague of the unit"
    HANDED_TO_PROFESSION = "handed over to another profession of the unit"
    TAKEN_MEANWHILE = "taken by another unit through its escalation while a handover waits"

    ADVISED = "closed with the advice of another unit"
    AFTER_CONSULTATION = "handed over to the unit that was consulted, as agreed"
    CONSULTATION_REFUSED = "handled by the unit alone, as the consulted one said no"
    CONSULTATION_WITHDRAWN = "handled by the unit, which takes its question back"
    NOT_NEEDED = "closed while a question is open"

    BY_PHONE = "taken and closed by phone"
    MAY_NOT_REFUSE = "taken by somebody who would have refused it"
    MISPLACED = "handed over to the right unit, which accepts"

    AT_CLOSING = "left when its unit closes, and taken by another"

    QUESTION_ANSWERED = "answered by the unit that was asked"
    QUESTION_REFUSED = "refused by the unit that was asked"
    QUESTION_LEFT = "never answered: it stays on a worklist"

    BOOKED = "booked for another day, at any health centre"
    HELD = "booked for today at another health centre, and held by video at its time"
    NO_SHOW = "booked for today, and the patient does not come"
    SAME_TIME = "booked by one of two who want the same time at once"
    FROM_ELSEWHERE = "booked by a patient of another county, and held by video"
    MOVED = "booked, and moved to a time at another unit"
    BOOKING_CANCELLED = "booked, and cancelled: the ticket lives on"
    BOOKED_BY_UNIT = "booked by the unit itself, and held by video"
    TICKET_RUNS_OUT = "never booked: the ticket runs out"

    RENEWED = "a prescription renewed, with messages both ways"
    CERTIFICATE = "a certificate written"
    SENT_ON = "an administrative case handed over to another unit"

    CHAT = "a chat that the unit starts"
    NAMED_CALLED = "answered by the one to whom the patient writes, who is called first"
    NAMED_ABSENT = "answered by the unit, as whom the patient writes to is absent"
    NOBODY_ANSWERS = "a message that nobody answers: the manager is told"
    BY_COLLEAGUE = "a message that a colleague answers"

    NOT_PLAYED = "refused at intake"


SPECIAL: Final[Mapping[Behaviour, int]] = {
    Behaviour.TAKEN_MEANWHILE: 1,
    Behaviour.HANDOVER_UNANSWERED: 2,
    Behaviour.AFTER_MANAGER: 3,
    Behaviour.AFTER_CONSULTATION: 2,
    Behaviour.HANDED_OVER: 2,
    Behaviour.HANDOVER_REFUSED: 2,
    Behaviour.HANDOVER_WITHDRAWN: 1,
    Behaviour.ADVISED: 2,
    Behaviour.CONSULTATION_REFUSED: 1,
    Behaviour.CONSULTATION_WITHDRAWN: 1,
    Behaviour.NOT_NEEDED: 1,
    Behaviour.HANDED_TO_COLLEAGUE: 1,
    Behaviour.HANDED_TO_PROFESSION: 1,
    Behaviour.LATE: 4,
    Behaviour.BY_OTHERS: 3,
    Behaviour.RACE: 2,
    Behaviour.RELEASED: 2,
    Behaviour.REPRIORITISED: 2,
    Behaviour.CANCELLED: 2,
    Behaviour.KEPT: 1,
    Behaviour.LEFT: 2,
}
"""How many drop-in visits meet each of these, the most demanding first; the others are taken in time."""

BY_PHONE: Final[Mapping[Behaviour, int]] = {Behaviour.MISPLACED: 1, Behaviour.MAY_NOT_REFUSE: 2}
"""How many consultations from 1177 meet each of these; the others are taken and closed."""

QUESTIONS: Final = (Behaviour.QUESTION_ANSWERED, Behaviour.QUESTION_REFUSED, Behaviour.QUESTION_LEFT)
"""What becomes of the consultations of their own, in any order."""

TICKETS: Final = (
    Behaviour.HELD, Behaviour.NO_SHOW, Behaviour.SAME_TIME, Behaviour.SAME_TIME, Behaviour.FROM_ELSEWHERE,
    Behaviour.MOVED, Behaviour.BOOKING_CANCELLED,
)  # fmt: skip
"""What becomes of the outcomes that are given a ticket, in the order of their file: each is written for its part."""

OPENINGS: Final[Mapping[Kind, tuple[Behaviour, ...]]] = {
    Kind.SCHEDULED_VISIT: (Behaviour.BOOKED_BY_UNIT, Behaviour.TICKET_RUNS_OUT),
    Kind.ADMINISTRATIVE_CASE: (Behaviour.RENEWED, Behaviour.CERTIFICATE, Behaviour.SENT_ON),
    Kind.MESSAGE_THREAD: (
        Behaviour.NOBODY_ANSWERS, Behaviour.NAMED_CALLED, Behaviour.NAMED_ABSENT, Behaviour.CHAT,
        Behaviour.BY_COLLEAGUE,
    ),
}  # fmt: skip
"""Likewise of the cases that units and patients open themselves."""

NEED_ANOTHER_UNIT: Final = frozenset({
    Behaviour.HANDED_OVER, Behaviour.HANDOVER_REFUSED, Behaviour.HANDOVER_WITHDRAWN, Behaviour.HANDOVER_UNANSWERED,
    Behaviour.TAKEN_MEANWHILE, Behaviour.ADVISED, Behaviour.AFTER_CONSULTATION, Behaviour.CONSULTATION_REFUSED,
    Behaviour.CONSULTATION_WITHDRAWN, Behaviour.NOT_NEEDED, Behaviour.MISPLACED, Behaviour.SENT_ON,
})  # fmt: skip
"""Another unit that has the profession is asked."""
LONG: Final = frozenset({
    Behaviour.TAKEN_MEANWHILE, Behaviour.HANDOVER_UNANSWERED, Behaviour.AFTER_MANAGER, Behaviour.AFTER_CONSULTATION,
})  # fmt: skip
"""They take long, and have to begin early."""
