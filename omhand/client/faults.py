"""What can go wrong between a client and a case, each with a code of its own, and how it is told apart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import RPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from omhand.codec import DamagedPayload, MissingKey
from omhand.contract.wire import faults_of

M = TypeVar("M", bound=BaseModel)

SERVER_SECONDS: Final = 15.0
"""How long Temporal itself may take; its calls have limits of their own below that."""

_SHUT_OUT: Final = {RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.PERMISSION_DENIED}


class CaseError(Exception):
    """Something that was asked for did not come about: a ``code`` for programs, a ``message`` for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ServerAway(CaseError):  # noqa: N818 - named for what is the matter, as the codes of the contract are
    """Temporal, the workers or Postgres did not answer, or did not let us in. What was sent may still be done."""

    def __init__(self, message: str) -> None:
        super().__init__("ServerAway", message)


class NoAnswer(ServerAway):
    """Nobody answered in time; ``within`` says in what time."""

    def __init__(self, within: str) -> None:
        super().__init__(f"Temporal did not answer {within}")
        self.within = within


class NoSuchCase(CaseError):  # noqa: N818 - the same
    """Temporal has no case of this id: it never was opened, or it closed longer ago than Temporal remembers."""

    def __init__(self, case_id: str) -> None:
        super().__init__(
            "NoSuchCase",
            f"Temporal has no case {case_id}: it was never opened, or it closed longer ago than Temporal remembers"
            " (then its log is in Postgres)",
        )


class NotOpened(CaseError):  # noqa: N818 - the same
    """The case has been started, and no worker has opened it yet."""

    def __init__(self, case_id: str) -> None:
        super().__init__("NotOpened", f"the case {case_id} has been started, and is not open yet")


class Refused(CaseError):  # noqa: N818 - the same
    """An action was refused: ``code`` is one of contract §2."""


class StartRefused(CaseError):  # noqa: N818 - the same
    """A case was not opened, or a triage outcome not taken: ``code`` is one of contract §1."""


class Ended(CaseError):  # noqa: N818 - the same
    """Somebody ended the workflow by force: what it had to do was not done."""

    def __init__(self, how: str) -> None:
        super().__init__("Ended", f"the workflow was ended from outside ({how}), and what it had to do was not done")


class UnreadableAnswer(CaseError):  # noqa: N818 - the same
    """The answer came and cannot be read: its key is missing, or it is of another version."""

    def __init__(self, message: str) -> None:
        super().__init__("UnreadableAnswer", message)


class NotConfigured(Exception):  # noqa: N818 - the same
    """A setting that this needs is missing or wrong. Names it, never its value."""


def read_answer(model: type[M], value: object) -> M:
    """``value`` as a model. Keys that are not known here are left out: a later version may say more.

    Raises:
        UnreadableAnswer: naming each key that does not fit.
    """
    try:
        return model.model_validate(value, extra="ignore")
    except ValidationError as error:
        msg = f"this client and the workers are of different versions: {'; '.join(faults_of(error))}"
        raise UnreadableAnswer(msg) from None  # the cause quotes the answer


@asynccontextmanager
async def speaking(case_id: str, seconds: float = SERVER_SECONDS) -> AsyncIterator[None]:
    """Whatever goes wrong inside, while Temporal is spoken to about a case, becomes one of the errors above.

    Raises:
        NoAnswer: it took longer.
        ServerAway, NoSuchCase, UnreadableAnswer: see there.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except (TimeoutError, RPCTimeoutOrCancelledError) as error:
        _let_go()
        raise NoAnswer(f"within {seconds:g} s") from error
    except RPCError as error:
        raise _meaning(error, case_id, seconds) from error
    except (MissingKey, DamagedPayload) as error:
        raise UnreadableAnswer(str(error)) from error
    except (KeyError, RuntimeError) as error:
        fault = _by_its_words(str(error))
        if fault is None:
            raise
        raise fault from error


def _let_go() -> None:
    """The SDK says of a caller who has been cancelled that the call timed out: let cancellation be one again."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _meaning(error: RPCError, case_id: str, seconds: float) -> CaseError:
    if error.status in {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}:
        return NoAnswer(f"within {seconds:g} s")
    if error.status is RPCStatusCode.NOT_FOUND and not _is_about_the_namespace(error):
        return NoSuchCase(case_id)
    if error.status is RPCStatusCode.NOT_FOUND:
        return ServerAway("Temporal has no such namespace: see TEMPORAL_NAMESPACE")
    if error.status in _SHUT_OUT:
        return ServerAway(f"Temporal does not let us in ({error.status.name}): see TEMPORAL_API_KEY and TEMPORAL_TLS_*")
    return ServerAway(f"Temporal did not take it ({error.status.name})")


def _is_about_the_namespace(error: RPCError) -> bool:
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)


def _by_its_words(words: str) -> CaseError | None:
    """What the SDK knows by nothing but its words."""
    if "Failed client connect" in words:
        return ServerAway("Temporal does not answer at its address (TEMPORAL_ADDRESS), or does not let us in")
    if "Unknown payload encoding" in words:
        return UnreadableAnswer(
            "it is encrypted, or of an unknown encoding, and no keys are given: see OMHAND_KEYS_FILE"
        )
    return None
