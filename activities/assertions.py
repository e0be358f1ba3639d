"""Whether somebody is who they say that they are: by an assertion that their identity provider has signed.

It is asked when an action is decided and when a case is opened, outside workflow code: what came of it stands in the
history, so that a replay needs no key and no provider. An assertion that is given is always checked; one that is not is
let pass unless assertions are required.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

import asyncpg

from activities.identity import Identity, IdentityAway, Untrusted
from activities.patients import Patients
from activities.postgres.pool import query
from decisions.assertions import (
    ANOTHER_PATIENT,
    MISSING,
    NO_PATIENT,
    NOBODY,
    Claims,
    names_nobody,
    staff_fault,
    who_opens,
)
from decisions.canary import is_canary
from decisions.effects import Refusal
from decisions.errands import OpeningQuestion, ReadToLog
from decisions.facts import Question
from decisions.receiving import StartRefused
from omhand.contract.names import Code, Kind, StartFault
from omhand.contract.opening import Opening, StaffMember
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
            ApplicationError: as `Patients.is_token_of`.
        """

        async def is_of(patient: str) -> bool:
            token = await self._pool.fetchval(query("patient_of_case"), asked.case_id)
            return await self._patients.is_token_of(token, patient)

        if is_canary(asked.case_id) and asked.assertion is None:
            return None  # nobody's case: who acts on it is one of its own region, where nobody works
        fault = await self._fault(asked.by, asked.assertion, asked.at, is_of)
        return Refusal(code=Code.NOT_ASSERTED, message=f"assertion: {fault}.") if fault else None

    async def of_opening(self, asked: OpeningQuestion) -> StartRefused | None:
        """Why whoever opens the case is not vouched for. A backend that has a triage outcome is nobody."""
        opening = asked.opening
        if asked.vouched_for:
            return None
        fault = await self._fault_of_opening(asked.kind, opening, asked.at)
        return StartRefused(fault=StartFault.NOT_ASSERTED, message=f"assertion: {fault}") if fault else None

    async def _fault_of_opening(self, kind: Kind, opening: Opening, at: datetime) -> str | None:
        who = who_opens(opening)
        if self._required and names_nobody(kind, opening):
            return NOBODY
        if who is None and opening.assertion is None:
            return None

        async def is_of(identity: str) -> bool:
            return opening.patient is not None and opening.patient.id == identity

        return await self._fault(who if isinstance(who, StaffMember) else None, opening.assertion, at, is_of)

    async def of_read(self, asked: ReadToLog) -> Refusal | None:
        """Why whoever reads is not vouched for."""
        read = asked.read
        if read.by is None:
            fault = MISSING if self._required else None
        else:
            fault = await self._fault(read.by, read.assertion, asked.at)
        return Refusal(code=Code.NOT_ASSERTED, message=f"assertion: {fault}.") if fault else None

    async def _fault(
        self, by: StaffMember | Reader | None, assertion: str | None, at: datetime, is_of: IsOf | None = None
    ) -> str | None:
        """What is wrong; ``by`` is None for the patient."""
        if assertion is None:
            return MISSING if self._required else None
        claims = await self._believed(assertion, at)
        if isinstance(claims, str):
            return claims
        if by:
            return staff_fault(by, claims)
        if claims.patient is None or is_of is None:
            return NO_PATIENT
        return None if await is_of(claims.patient) else ANOTHER_PATIENT

    async def _believed(self, assertion: str, at: datetime) -> Claims | str:
        """What the assertion says, or why it is not believed."""
        try:
            return read(Claims, dict(await self._identity.claims(assertion, at)))
        except Untrusted as fault:
            return str(fault)
        except Malformed as fault:
            return f"its claims cannot be read: {fault}"
        except IdentityAway as fault:
            # To wait for it would keep everything else that comes to the case waiting, too.
            return f"it cannot be checked now, send it again: {fault}"
