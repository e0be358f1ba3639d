"""What is played for the canaries: every kind of case, every action, and all that may be wrong with them."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from canaries import (
    PERSONNUMMER,
    PLAIN,
    REFERENCE,
    SAID,
    SAMORDNINGSNUMMER,
    kept,
    labels_in,
    planted,
    said,
)
from pydantic import BaseModel
from stage import Gateway, until
from stories import DOCTOR, DOCTOR_NORTH, NORTH, NURSE_NORTH, NURSE_SOUTH, SOUTH, a_ticket
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from test_restart import Dev

from omhand.client import CaseClient
from omhand.client.faults import NoSuchCase
from omhand.contract.actions import ACTIONS
from omhand.contract.names import ActionName, Kind
from omhand.contract.opening import Opening, TriageOutcome
from omhand.contract.reads import Read

TOKEN_SECRET: Final = "a secret of the identity provider, of 32 bytes and more"
PATIENT: Final = {"patient": True}


def vouched(label: str, *, secret: str = TOKEN_SECRET, **claims: Any) -> str:
    """What an identity provider signs of somebody; their name is in it."""
    until_then = datetime.now(UTC) + timedelta(hours=1)
    return jwt.encode({"aud": "omhand", "exp": until_then, "name": kept(label)} | claims, secret, algorithm="HS256")


@dataclass
class Play:
    """A running ``omhand dev``, whoever speaks to it, and which fields have had their canary."""

    dev: Dev
    staff: CaseClient
    gateway: Gateway
    planted: set[tuple[str, str]] = field(default_factory=set)

    async def open(self, kind: Kind, case_id: str, **given: Any) -> Callable[..., Awaitable[Any]]:
        """Open a case, its texts and its patient canaries; how to act on it."""
        opening = {
            "case_id": case_id, "origin": "min_vard", "unit": NORTH, "profession": "nurse",
            "reason": kept(f"{case_id}.reason"), "patient": patient(PERSONNUMMER),
        } | given  # fmt: skip
        self.planted |= set(planted(Opening, opening))
        await self.staff.open(kind, opening)
        await self.staff.opened(case_id)

        async def act(name: str, by: dict[str, Any], *, code: str | None = None, **payload: Any) -> Any:
            return await self.act(case_id, name, {"by": by} | payload, code)

        return act

    async def act(self, case_id: str, name: str, payload: dict[str, Any], code: str | None) -> Any:
        """Act, vouched for unless an assertion is given; refused with the code where one is given."""
        payload = {"assertion": assertion_of(payload["by"], f"{case_id}.{name}")} | payload
        self.planted |= set(planted(ACTIONS[ActionName(name)], payload))
        handle = self.dev.case(case_id)
        if code is None:
            return await handle.execute_update(name, payload)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(name, payload)
        assert isinstance(refused.value.cause, ApplicationError)
        assert (refused.value.cause.type, labels_in(str(refused.value.cause).encode())) == (code, set())
        return None

    async def has_opened(self, case_id: str) -> bool:
        """Whether a consultation is open: the case that asks answers before Temporal has started it."""
        with suppress(NoSuchCase):
            await self.staff.opened(case_id)
            return True
        return False

    async def fails(self, workflow_type: str, workflow_id: str, value: Any, code: str, form: type[BaseModel]) -> None:
        """A start that fails with that code, and does not quote what it was given."""
        self.planted |= set(planted(form, value))
        with pytest.raises(WorkflowFailureError) as failed:
            await self.dev.client.execute_workflow(workflow_type, value, id=workflow_id, task_queue="cases")
        assert isinstance(failed.value.cause, ApplicationError)
        assert (failed.value.cause.type, labels_in(str(failed.value.cause).encode())) == (code, set())


def assertion_of(by: dict[str, Any], label: str) -> str:
    """A good assertion of whoever acts."""
    return vouched(label, patient=PERSONNUMMER) if "patient" in by else vouched(label, sub=by["staff"])


def patient(identity: str, **changes: Any) -> dict[str, Any]:
    """A patient with everything that may be known of them."""
    return {
        "id": identity, "digital": True, "region": "21", "name": kept("name"), "listed_at": kept("listed-at"),
    } | changes  # fmt: skip


async def play_a_drop_in(play: Play) -> None:
    """Consulted on, handed over, refused, withdrawn, given back; escalated, as nobody takes it in a second."""
    act = await play.open(Kind.DROP_IN_VISIT, "drop-in", priority=3)
    await act("note", NURSE_NORTH, text=said("note"))
    await act("reprioritise", NURSE_NORTH, priority=4, reason=said("reprioritise"))
    await act("consult", NURSE_NORTH, to_unit=SOUTH, question=said("question"))
    answer = {"by": NURSE_SOUTH, "advice": said("advice"), "takes_over": True}
    await until(lambda: play.has_opened("drop-in.consultation-1"))
    await play.act("drop-in.consultation-1", "answer", answer, None)
    for ground in ("agreed_practice", "agreed_practice"):
        over = {"to_unit": SOUTH, "ground": ground, "reference": said("reference"), "note": said("handover")}
        view = await act("hand_over", NURSE_NORTH, **over)
        offer = next(each["offer"] for each in view["offers"] if each["why"] == "handover")
        await act("refuse", NURSE_SOUTH, reason=said("refusal"), offer=offer)
    await act("hand_over", NURSE_NORTH, to_unit=SOUTH, ground="misplaced", note=said("misplaced"))
    await act("withdraw", NURSE_NORTH)
    await play.gateway.until(lambda: "manager_alert" in play.gateway.reasons("drop-in"))
    await act("accept", NURSE_NORTH)
    await act("release", NURSE_NORTH, reason=said("release"))
    await act("accept", NURSE_NORTH)
    await act("close", NURSE_NORTH, outcome="treated", held_as="video", note=said("close"))
    await play.dev.case("drop-in").result()
    again = {"case_id": "drop-in", "origin": "min_vard", "unit": NORTH, "profession": "nurse", "priority": 3}
    again |= {"patient": patient(PERSONNUMMER), "reason": kept("again")}
    await play.fails("DropInVisit", "case-drop-in", again, "CaseExists", Opening)


async def play_visits(play: Play) -> None:
    """Booked, moved, cancelled; one by its unit."""
    for number in (1, 2, 3):
        await play.dev.rows(
            "insert into omhand.slots (slot_id, unit_id, profession, starts_at, length)"
            " values ($1, $2, 'nurse', now() + interval '1 day', '20 min')",
            f"slot-{number}", NORTH,
        )  # fmt: skip
    act = await play.open(Kind.SCHEDULED_VISIT, "visit", priority=7, ticket=a_ticket())
    await act("book", PATIENT, slot="slot-1")
    await act("book", NURSE_NORTH, slot="slot-2")
    await act("book", PATIENT, slot=kept("slot"), code="UnknownSlot")
    await act("cancel_booking", PATIENT, reason=said("cancel-booking"))
    await act("cancel", PATIENT, reason=said("cancel"))
    booked = {"origin": "unit", "booking": {"slot": "slot-3"}, "asked_by": NURSE_NORTH}
    await play.open(Kind.SCHEDULED_VISIT, "unit-visit", **booked, assertion=assertion_of(NURSE_NORTH, "unit-visit"))
    bad = {"booking": {"slot": kept("no-such-slot")}, "case_id": "no-slot", "origin": "unit", "unit": NORTH}
    bad |= {"profession": "nurse", "patient": patient(PERSONNUMMER)}
    await play.fails("ScheduledVisit", "case-no-slot", bad, "InvalidCase", Opening)


async def play_letters(play: Play) -> None:
    """A thread and an administrative case: messages, replies, attachments."""
    own = {"origin": "patient", "attachments": [f"doc:{SAID}attached-f"]}
    for kind, more in (
        (Kind.MESSAGE_THREAD, {"to": {"staff": DOCTOR}}),
        (Kind.ADMINISTRATIVE_CASE, {"service": "certificate"}),
    ):
        assertion = vouched(f"{kind}-opening", patient=PERSONNUMMER)
        act = await play.open(kind, kind.value, message=said(f"first-{kind}"), assertion=assertion, **own, **more)
        attached = [f"doc:{SAID}again-f"]
        await act("reply", DOCTOR_NORTH, text=said(f"reply-{kind}"), attachments=attached)
        await act("message", PATIENT, text=said(f"message-{kind}"), attachments=attached)
        await act("accept", NURSE_NORTH)
    await act("close", NURSE_NORTH, outcome="advice_given", held_as="message", note=said("answered"))


async def play_consultations(play: Play) -> None:
    """One of its own that is refused; one from 1177 of a samordningsnummer."""
    asked = {"origin": "staff", "asked_by": NURSE_NORTH, "question": said("own-question"), "unit": SOUTH}
    act = await play.open(
        Kind.CONSULTATION, "question", **asked, patient=patient(REFERENCE), assertion=assertion_of(NURSE_NORTH, "asks")
    )
    await act("refuse", NURSE_SOUTH, reason=said("own-refusal"))
    coordination = patient(SAMORDNINGSNUMMER, digital=False)
    act = await play.open(
        Kind.PHONE_CONSULTATION, "phone", origin="1177_phone", level="physical", priority=4, patient=coordination
    )
    await act("refuse", NURSE_NORTH, reason=kept("may-not"), code="MayNotBeRefused")


async def play_intakes(play: Play) -> None:
    """One that is routed, one outside the routine, one that cannot be read."""
    outcome = {
        "case_id": "taken-in", "source": "min_vard", "level": "digital", "priority": 3, "profession": "nurse",
        "unit": NORTH, "patient": patient(PERSONNUMMER), "reason": kept("outcome"),
    }  # fmt: skip
    play.planted |= set(planted(TriageOutcome, outcome))
    await play.staff.intake(outcome)
    outside = outcome | {"case_id": "outside", "level": "physical"}
    await play.fails("Intake", "intake-outside", outside, "NotInRoutine", TriageOutcome)
    odd = outcome | {"case_id": "odd", "colour": kept("intake-colour"), "source": kept("source"), "unit": [kept("u")]}
    await play.fails("Intake", "intake-odd", odd, "InvalidCase", TriageOutcome)


async def play_bad_starts(play: Play) -> None:
    """Malformed, outside the routine, of no such unit, not vouched for, and of no such type."""
    good = {
        "case_id": "bad", "origin": "min_vard", "unit": NORTH, "profession": "nurse", "priority": 3,
        "patient": patient(PERSONNUMMER), "reason": kept("bad-start"),
    }  # fmt: skip
    odd_patient = {"id": kept("identity"), "name": [kept("names")], "region": kept("region"), "digital": kept("yes")}
    forged = vouched("forged-opening", secret="another secret, which is long enough to be one")
    for number, (changes, code) in enumerate((
        ({"patient": odd_patient}, "InvalidCase"),
        ({"colour": {"deep": [kept("colour")]}, "priority": kept("priority"), "origin": kept("origin")}, "InvalidCase"),
        ({"unit": kept("unit"), "profession": kept("profession"), "level": kept("level")}, "InvalidCase"),
        ({"priority": 7}, "NotInRoutine"),
        ({"unit": "SE2321000198-NOWHERE"}, "UnknownUnit"),
        ({"origin": "patient", "assertion": forged}, "NotAsserted"),
    )):  # fmt: skip
        value = good | {"case_id": f"bad-{number}"} | changes
        await play.fails("DropInVisit", f"case-bad-{number}", value, code, Opening)
    await play.fails("DropOutVisit", "case-no-type", good, "InvalidCase", Opening)
    await play.fails("DropInVisit", "case-drop-out", {"case_id": kept("id")} | {"reason": 1}, "InvalidCase", Opening)


REFUSED: Final[tuple[tuple[str, tuple[Any, ...]], ...]] = (
    ("note", ({"by": NURSE_NORTH, "text": 7, "colour": kept("unknown-key")},)),
    ("note", ({"by": kept("by"), "text": {"a": kept("nested")}},)),
    ("close", ({"by": NURSE_NORTH, "outcome": kept("outcome"), "held_as": kept("held-as"), "note": [kept("n")]},)),
    ("hand_over", ({"by": NURSE_NORTH, "to_unit": kept("to-unit"), "ground": kept("ground")},)),
    ("reprioritise", ({"by": NURSE_NORTH, "priority": kept("priority"), "reason": kept("why")},)),
    ("explode", ({"by": NURSE_NORTH, "text": kept("no-such-action")},)),
    ("note", (kept("a-text"),)),
    ("note", ({"by": NURSE_NORTH, "text": kept("first")}, {"text": kept("second")})),
    ("note", (RawValue(Payload(metadata={"encoding": b"json/plain"}, data=kept("broken").encode())),)),
)
"""Actions that cannot be read, or that there are not."""


async def play_refusals(play: Play) -> None:
    """Everything that may be refused on a case that goes on; by signals and by updates."""
    act = await play.open(Kind.DROP_IN_VISIT, "refusing", priority=3)
    handle = play.dev.case("refusing")
    for name, args in REFUSED:
        await handle.signal(name, args=args)
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(name, args=args)
    stranger = NURSE_NORTH | {"staff": "SE2321000198-S99"}
    await act("note", stranger, text=kept("stranger"), code="UnknownStaff")
    await act("accept", NURSE_SOUTH, offer=kept("offer"), code="OfferGone")
    await act("refuse", NURSE_NORTH, offer=kept("other-offer"), reason=kept("refused"), code="OfferGone")
    forged = vouched("forged", secret="another secret, which is long enough to be one", sub=NURSE_NORTH["staff"])
    await act("note", NURSE_NORTH, text=kept("forged"), assertion=forged, code="NotAsserted")
    odd = vouched("odd-claims", sub=[kept("sub")], patient=kept("claimed"))
    await act("note", NURSE_NORTH, text=kept("odd-claims"), assertion=odd, code="NotAsserted")
    another = vouched("another", patient=SAMORDNINGSNUMMER)
    await act("cancel", PATIENT, reason=kept("another"), assertion=another, code="NotAsserted")


async def play_the_plain_client(play: Play) -> None:
    """Another client, without keys: what it sends is plain where it sent it (contract §8)."""
    client = await Client.connect(play.dev.told["temporal"])
    await play.open(Kind.DROP_IN_VISIT, "plain", priority=3)
    handle = client.get_workflow_handle("case-plain")
    await handle.signal("note", {"by": NURSE_NORTH, "text": f"{PLAIN}note"})
    await handle.signal("note", {"by": NURSE_NORTH, "text": 7, "colour": f"{PLAIN}refused"})
    await handle.signal("note", RawValue(Payload(metadata={"encoding": b"binary/encrypted"}, data=PLAIN.encode())))
    view = await play.dev.case("plain").execute_update("note", {"by": NURSE_NORTH, "text": said("after-plain")})
    acted = [row["event"] for row in view["log"] if row["event"] in {"noted", "rejected"}]
    assert acted == ["noted", "rejected", "rejected", "noted"]


async def play_reads(play: Play) -> None:
    """Reads that are logged, refused and malformed; with a database and without."""
    database = play.dev.told["postgres"]
    keys = Path(play.dev.told["keys_file"])
    temporal = play.dev.told["temporal"]
    async with await CaseClient.connect(address=temporal, keys_file=keys, database_url=database) as reader:
        await reader.worklist(NORTH)
    value = {"action": "view", "via": "client", "by": NURSE_NORTH, "assertion": vouched("reads", sub="somebody")}
    await play.fails("Read", "read-1", value, "NotAsserted", Read)
    odd = {"action": [kept("read")], "via": kept("via"), "colour": kept("read-colour"), "by": kept("reader")}
    await play.fails("Read", "read-2", odd, "InvalidAction", Read)
    called = {"action": kept("read-action"), "via": "client", "by": NURSE_NORTH}
    play.planted |= set(planted(Read, called))
    with suppress(WorkflowFailureError):
        await play.dev.client.execute_workflow("Read", called, id="read-3", task_queue="cases")


async def play_the_closing_check(play: Play) -> None:
    """By the unit's schedule, now and not at night."""
    schedule = play.dev.client.get_schedule_handle(f"closing-{NORTH}")

    async def is_triggered() -> bool:
        with suppress(RPCError):  # a worker that has just started has not made it yet
            await schedule.trigger()
            return True
        return False

    async def is_made() -> bool:
        query = "WorkflowType = 'ClosingTime' and ExecutionStatus != 'Running'"
        return [each async for each in play.dev.client.list_workflows(query)] != []

    await until(is_triggered)
    await until(is_made)


PARTS: Final = (
    play_a_drop_in, play_visits, play_letters, play_consultations, play_intakes, play_bad_starts, play_refusals,
    play_the_plain_client, play_reads, play_the_closing_check,
)  # fmt: skip
