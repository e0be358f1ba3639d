"""What staff do with a case, behaviour by behaviour, and what they do when the routine says no."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from workers.demo.behaviours import Behaviour
from workers.demo.plots import administrative, bookings, closing, consultations, handovers, messages, phone, visits
from workers.demo.staff import Staff

Plot = Callable[[Staff], Awaitable[None]]

PLOTS: Final[Mapping[Behaviour, Plot]] = {
    Behaviour.IN_TIME: visits.in_time,
    Behaviour.LATE: visits.late,
    Behaviour.BY_OTHERS: visits.by_others,
    Behaviour.AFTER_MANAGER: visits.after_manager,
    Behaviour.RACE: visits.race,
    Behaviour.RELEASED: visits.released,
    Behaviour.REPRIORITISED: visits.reprioritised,
    Behaviour.CANCELLED: visits.cancelled,
    Behaviour.KEPT: visits.kept,
    Behaviour.HANDED_OVER: handovers.accepted,
    Behaviour.HANDOVER_REFUSED: handovers.refused,
    Behaviour.HANDOVER_WITHDRAWN: handovers.withdrawn,
    Behaviour.HANDOVER_UNANSWERED: handovers.unanswered,
    Behaviour.HANDED_TO_COLLEAGUE: handovers.to_colleague,
    Behaviour.HANDED_TO_PROFESSION: handovers.to_profession,
    Behaviour.TAKEN_MEANWHILE: handovers.taken_meanwhile,
    Behaviour.ADVISED: consultations.advised,
    Behaviour.AFTER_CONSULTATION: consultations.taken_over,
    Behaviour.CONSULTATION_REFUSED: consultations.refused,
    Behaviour.CONSULTATION_WITHDRAWN: consultations.withdrawn,
    Behaviour.NOT_NEEDED: consultations.not_needed,
    Behaviour.BY_PHONE: phone.taken,
    Behaviour.MAY_NOT_REFUSE: phone.may_not_refuse,
    Behaviour.MISPLACED: phone.misplaced,
    Behaviour.AT_CLOSING: closing.left,
    Behaviour.QUESTION_ANSWERED: consultations.question_answered,
    Behaviour.QUESTION_REFUSED: consultations.question_refused,
    Behaviour.BOOKED: bookings.booked,
    Behaviour.HELD: bookings.held,
    Behaviour.NO_SHOW: bookings.no_show,
    Behaviour.SAME_TIME: bookings.same_time,
    Behaviour.FROM_ELSEWHERE: bookings.from_elsewhere,
    Behaviour.MOVED: bookings.moved,
    Behaviour.BOOKING_CANCELLED: bookings.booking_cancelled,
    Behaviour.BOOKED_BY_UNIT: bookings.booked_by_unit,
    Behaviour.TICKET_RUNS_OUT: bookings.ticket_runs_out,
    Behaviour.RENEWED: administrative.renewed,
    Behaviour.CERTIFICATE: administrative.certificate,
    Behaviour.SENT_ON: administrative.sent_on,
    Behaviour.CHAT: messages.chat,
    Behaviour.NAMED_CALLED: messages.named_called,
    Behaviour.NAMED_ABSENT: messages.named_absent,
    Behaviour.NOBODY_ANSWERS: messages.nobody_answers,
    Behaviour.BY_COLLEAGUE: messages.by_colleague,
}

UNTOUCHED: Final = frozenset({Behaviour.LEFT, Behaviour.QUESTION_LEFT, Behaviour.NOT_PLAYED})
"""Nobody does anything: such a case stays on the worklists."""
