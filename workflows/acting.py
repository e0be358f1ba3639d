"""What an action comes to: answered as it was before, refused, or decided by what the directory says at this moment."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from temporalio import workflow

from decisions import decide as rules
from decisions.effects import Decision, Refusal
from decisions.errands import LOOK_UP, LOOK_UP_ANSWERED, Access, AnsweredBefore, Repeated
from decisions.facts import Facts, question
from decisions.file import FULL, LOG_FULL, SIGNAL, Answered, CaseFile
from omhand.contract.actions import By, Consult, Note
from omhand.contract.names import ActionName, Code
from workflows.errands import run_errand
from workflows.inbox import Incoming

CAME_LATER: Final = frozenset({ActionName.HAND_OVER, ActionName.CONSULT})
HAND_OVER_AND_CONSULT: Final = "hand-over-and-consult"
"""The patch before which these were refused at once: a case whose history tells of that goes on refusing them."""

LOG_MOVES_ON: Final = "log-moves-on"
"""The patch before which a log of a megabyte took no more notes, nor rows of what was refused."""

ANSWERS_LOOKED_UP: Final = "answers-looked-up"
"""The patch before which an action that a case had forgotten was decided anew."""

ASSERTIONS: Final = "assertions"
"""The patch before which an action with an assertion was refused at once, as one with an unknown key."""

_OF_ACTION: Final = "action:"


def cause_of(action_id: str) -> str:
    """How the log names what an action with an id has caused."""
    return f"{_OF_ACTION}{action_id}"


def is_of_action(cause: str) -> bool:
    """Whether the cause is an action by the id that its sender gave."""
    return cause.startswith(_OF_ACTION)


def log_is_full(file: CaseFile) -> bool:
    """Whether the log takes no more that only adds to it: of a case that was told so before logs were cut."""
    return file.size >= FULL and not workflow.patched(LOG_MOVES_ON)


def not_asserted(result: Decision | Refusal) -> bool:
    """Whether it was refused as nobody vouches for who sent it."""
    return isinstance(result, Refusal) and result.code is Code.NOT_ASSERTED


def access_of(incoming: Incoming, by: By | None, result: Decision | Refusal) -> Access:
    """What the access log says of it: never that somebody acted in whose name somebody else tried to."""
    if not_asserted(result):
        return Access(at=incoming.at, by=None, action=f"{incoming.shown_name} refused")
    return Access(at=incoming.at, by=by, action=incoming.shown_name)


def refused(file: CaseFile, incoming: Incoming, by: By | None, refusal: Refusal) -> Decision:
    """What a refusal comes to: a row in the log, where it takes one; the access log still says that somebody tried."""
    if log_is_full(file):
        return Decision(file.case)
    return rules.rejected(file.case, incoming.shown_name, by, refusal, incoming.at)


class TimeGone(Exception):  # noqa: N818 - reads as what it says
    """A time that is to be booked is not free any more."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def _of_before(cause: str) -> str:
    """As programs before 0.2.0 named it: a signal by its number alone."""
    return cause.rpartition(":")[0] if cause.startswith(SIGNAL) else cause


async def answered_before(file: CaseFile, cause: str, patience: timedelta) -> Answered | None:
    """How the same action was answered; what has left the case's memory stands in Postgres.

    Raises:
        OutOfPatience: that could not be looked up in the time that it was given.
    """
    earlier = file.answers.get(cause) or file.answers.get(_of_before(cause))
    if earlier or not (file.has_forgotten and is_of_action(cause) and workflow.patched(ANSWERS_LOOKED_UP)):
        return earlier
    asked = Repeated(case_id=file.case.case_id, cause=cause)
    summary = "look whether it has come before"
    found = await run_errand(LOOK_UP_ANSWERED, asked, AnsweredBefore, summary, patience=patience)
    return None if found.seq is None else Answered(seq=found.seq, refusal=found.refusal)


async def decided(
    file: CaseFile, name: str, payload: Mapping[str, object], at: datetime, patience: timedelta
) -> Decision | Refusal:
    """What the action of that name does to the case at this instant, or why it does nothing.

    Raises:
        OutOfPatience: the directory could not be asked in the time that it was given.
    """
    action = rules.read_action(name, payload)
    if isinstance(action, Refusal):
        return action
    if action.assertion is not None and not workflow.patched(ASSERTIONS):
        return Refusal(code=Code.INVALID_ACTION, message="assertion: there is no such key here")
    hindrance = rules.hindrance(file.case, action)
    if hindrance:
        return hindrance
    if action.name in CAME_LATER and not workflow.patched(HAND_OVER_AND_CONSULT):
        return rules.wrong_kind(file.case, action)
    if isinstance(action, Note | Consult) and log_is_full(file):
        return LOG_FULL
    asked = question(file.case, action, at)
    facts = await run_errand(LOOK_UP, asked, Facts, f"look up who may {action.name}", patience=patience)
    return rules.decide(file.case, action, at, facts)
