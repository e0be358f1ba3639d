"""Whether somebody is who they say that they are: by an assertion that their identity provider has signed.

It is asked when an action is decided and when a case is opened, outside workflow code: what came of it stands in the
history, so that a replay needs no key and no provider. An assertion that is given is always checked; one that is not is
let pass unless assertions are required.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

import asyncpg
from temporalio.exceptions import ApplicationError

from activities.identity import Identity, IdentityAway, Untrusted
from activities.patients import Patients
from activities.postgres.pool import query
from decisions.assertions import ANOTHER_PATIENT, MISSING, NO_PATIENT, Claims, staff_fault, who_opens
from decisions.effects import Refusal
from decisions.errands import OpeningQuestion, ReadToLog
from decisions.facts import Question
from decisions.receiving import StartRefused
from omhand.contract.names import Code, StartFault
from omhand.contract.opening import StaffMember
from omhand.contract.reads import Reader
from omhand.contract.wire import Malformed, read

IsOf = Callable[[str], Awaitable[bool]]
"""Whether a case is that patient's, by their identity."""


class Assertions:
    """Checks assertions."""

    def __init__(self, pool: asyncpg.Pool, patients: Patients, identity: Identity, *, required: bool = False) -> None:
        self._pool = pool
        self._patients = patients
        self._identity = identity
        self._required = required

    async def of_action(self, asked: Question) -> Refusal | None:
        """Why whoever acts is not vouched for; None where they are, or need not be.

        Raises:
            ApplicationError: ``IdentityAway``, to be retried: the identity provider's keys cannot be had.
        """

        async def is_of(patient: str) -> bool:
            token = await self._pool.fetchval(query("patient_of_case"), asked.case_id)
            return token in await self._patients.tokens(patient)

        fault = await self._fault(asked.by, asked.assertion, asked.at, is_of)
        return Refusal(code=Code.NOT_ASSERTED, message=f"assertion: {fault}.") if fault else None

    async def of_opening(self, asked: OpeningQuestion) -> StartRefused | None:
        """Why whoever opens the case is not vouched for. A backend that has a triage outcome is nobody: it need not be.

        Raises:
            ApplicationError: as `of_action`.
        """
        who = who_opens(asked.opening)
        if asked.vouched_for or (who is None and asked.opening.assertion is None):
            return None
        patient = asked.opening.patient

        async def is_of(identity: str) -> bool:
            return patient is not None and patient.id == identity

        by = who if isinstance(who, StaffMember) else None
        fault = await self._fault(by, asked.opening.assertion, asked.at, is_of)
        return StartRefused(fault=StartFault.NOT_ASSERTED, message=f"assertion: {fault}") if fault else None

    async def of_read(self, asked: ReadToLog) -> Refusal | None:
        """Why whoever reads is not vouched for; raises as `of_action` does."""
        read = asked.read
        if read.by is None:
            fault = MISSING if self._required else None
        else:
            fault = await self._fault(read.by, read.assertion, asked.at, _nobodys)
        return Refusal(code=Code.NOT_ASSERTED, message=f"assertion: {fault}.") if fault else None

    async def _fault(
        self, by: StaffMember | Reader | None, assertion: str | None, at: datetime, is_of: IsOf
    ) -> str | None:
        """What is wrong; ``by`` is None for the patient."""
        if assertion is None:
            return MISSING if self._required else None
        try:
            claims = read(Claims, dict(await self._identity.claims(assertion, at)))
        except Untrusted as fault:
            return str(fault)
        except Malformed as fault:
            return f"its claims cannot be read: {fault}"
        except IdentityAway as fault:
            raise ApplicationError(str(fault), type="IdentityAway") from fault
        if by:
            return staff_fault(by, claims)
        if claims.patient is None:
            return NO_PATIENT
        return None if await is_of(claims.patient) else ANOTHER_PATIENT


async def _nobodys(_patient: str) -> bool:
    return False
