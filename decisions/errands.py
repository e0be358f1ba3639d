"""What a case asks the world to do for it: the names, arguments and answers of the activities.

Workflows call activities by these names and know nothing else of them; activities serve them.
"""

from typing import Final, Literal

from decisions.case import Case
from decisions.effects import Notice, Refusal
from decisions.file import CaseFile
from decisions.receiving import StartRefused
from omhand.contract.actions import By
from omhand.contract.events import Event
from omhand.contract.names import Channel, ConsultationStatus, Kind
from omhand.contract.opening import IntakeAnswer, Opening, StaffMember, TriageOutcome
from omhand.contract.patient import PatientId
from omhand.contract.reads import Read
from omhand.contract.wire import CaseId, Flag, HsaId, Number, ShortText, Time, Wire

LOOK_UP: Final = "look_up"
"""``facts.Question -> facts.Facts``: the directory's word on an action, at the moment that it is decided."""
LOOK_UP_OPENING: Final = "look_up_opening"
"""``OpeningQuestion -> facts.OpeningFacts``."""
LOOK_UP_ROUTE: Final = "look_up_route"
"""``RouteQuestion -> RouteAnswer``."""
CONFIRM_OPENED: Final = "confirm_opened"
"""``OpenedCase -> OpenedCase``, once the case has been recorded; retried until then."""
LOOK_UP_ENDED: Final = "look_up_ended"
"""``Consulting -> AllEnded``: which of a case's consultations have ended, and how, as they have been recorded."""
LOOK_UP_ASKING: Final = "look_up_asking"
"""``Questioned -> Asking``: whether the case that asked still does, as it has been recorded."""
RECORD: Final = "record"
"""``Step -> Recorded``: one transaction, idempotent on (case, seq). The first to write a seq has written it."""
TAKE_OVER: Final = "take_over"
"""``TakingOver -> TakenOver``: a case that nothing watches any more becomes the asking run's."""
LOOK_UP_ANSWERED: Final = "look_up_answered"
"""``Repeated -> AnsweredBefore``: how an action was answered that the case itself does not remember any more."""
LOG_READ: Final = "log_read"
"""``ReadToLog -> ReadLogged``: somebody is going to read, and stands in the access log before they do."""
SEND_NOTICE: Final = "send_notice"
"""``Sending -> Delivery``: on its own task queue."""


UNDELIVERED: Final = "undelivered:"
"""How the cause begins of what a case did about a notification that failed for good; its key follows."""


class OpeningQuestion(Wire):
    """May this case be opened, and what happens first?"""

    kind: Kind
    opening: Opening
    at: Time
    sent_at: Time | None = None
    """When it was sent; null for ``at``. A booked time that has passed since is a visit that waits (K2b)."""
    run_id: str
    vouched_for: Flag = False
    """A case opens it for somebody whose action has been checked: the consultation that they asked for."""


class Repeated(Wire):
    """An action that may have come before."""

    case_id: CaseId
    cause: str
    """The name under which it was recorded."""


class AnsweredBefore(Wire):
    """How it was answered; all null where it has not come before."""

    seq: Number | None = None
    refusal: Refusal | None = None


class ReadToLog(Wire):
    """Somebody is going to read."""

    read: Read
    at: Time


class ReadLogged(Wire):
    """It has been logged, or they may not."""

    refused: Refusal | None = None


class RouteQuestion(Wire):
    """Where does this outcome go?"""

    outcome: TriageOutcome
    at: Time


class RouteAnswer(Wire):
    """One of: it went there before; it goes there with this opening; it cannot be taken."""

    before: IntakeAnswer | None = None
    kind: Kind | None = None
    opening: Opening | None = None
    refused: StartRefused | None = None


class Consulting(Wire):
    """A case's consultations whose end it does not know yet."""

    asked_by: CaseId
    consultations: tuple[CaseId, ...]


class Ended(Wire):
    """How a consultation has ended."""

    case_id: CaseId
    status: ConsultationStatus
    unit: HsaId
    """That ended it: which answered, or was asked to the last."""
    by: StaffMember | None = None
    takes_over: Flag = False
    advice: str | None = None
    reason: str | None = None


class AllEnded(Wire):
    """Those that have ended, in the order in which they were asked about."""

    ended: tuple[Ended, ...]


class Questioned(Wire):
    """A consultation, and the case that asked."""

    consultation: CaseId
    asked_by: CaseId


class Asking(Wire):
    """How the case that asked looks at its question: open, withdrawn, or not needed as the case has ended."""

    status: ConsultationStatus
    by: StaffMember | None = None


class OpenedCase(Wire):
    """A case that has been recorded."""

    case_id: CaseId
    asked_by: CaseId | None = None
    """Of a consultation of a case: that case."""


class Access(Wire):
    """Somebody touched a case, or tried to."""

    at: Time
    by: By | None
    action: ShortText


class Step(Wire):
    """One step of a case, to be written all of it or none. The same step twice is the same as once."""

    run_id: str
    """Of the case's first run: another run may not write into this case's rows (``CaseExists``)."""
    case: Case
    """As it is after the step."""
    events: tuple[Event, ...]
    notices: tuple[Notice, ...]
    takes: Flag
    """Somebody has taken the case, or it has ended: what asks for that and has not gone out is withdrawn."""
    settles: Flag = False
    """A pending handover has been answered or withdrawn: what asks for that and has not gone out is withdrawn."""
    cause: str | None = None
    """What made it happen, by a name that stays the same if the task is lost and done again; null for the clock."""
    access: tuple[Access, ...] = ()
    patient: PatientId | None = None
    """Only with the first step; of a case's consultation it is the case's, which the database knows."""


class Earlier(Wire):
    """An event that stands in the log where a step wants to write another one."""

    event: Event
    cause: str | None


class Recorded(Wire):
    """What was found when the step was to be written."""

    ahead: tuple[Earlier, ...] = ()
    """The log went on otherwise: a task wrote this and was lost. It has happened, and the step is not written."""

    linked: tuple[CaseId, ...] = ()
    """Other open cases of the same patient, in the order of their ids."""

    slot_fault: Literal["taken", "unknown"] | None = None
    """The time that the step books is another case's, or there is none of that id any more: nothing was written."""


class TakingOver(Wire):
    """A run wants to take up a case that stands in Postgres as open."""

    case_id: CaseId
    kind: Kind
    run_id: str


class TakenOver(Wire):
    """The case, and what of its notifications has not gone out; nothing where there is no such open case."""

    file: CaseFile | None = None
    on_their_way: tuple[Notice, ...] = ()
    not_asked: tuple[CaseId, ...] = ()
    """Its consultations that it has asked for, and that have not been opened."""
    signals: Number = 0
    """The number of the last signal that its log tells of: those that come now are numbered after it."""


class Sending(Wire):
    """The notification to be sent; everything else about it stands in its row."""

    key: str


class Delivery(Wire):
    """How it went. Not delivered and not withdrawn means: failed for good."""

    delivered: Flag
    withdrawn: Flag = False
    channel: Channel
    error: str | None = None
