"""Nobody acts who may not: by the directory of this moment, and by an assertion of who they are."""

import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from stories import (
    DIRECTORY,
    DOCTOR_NORTH,
    NORTH,
    NURSE,
    NURSE_NORTH,
    NURSE_SOUTH,
    OTHER_PHASES,
    POLICY,
    SOUTH,
    a_member,
    failure_of,
    refusal_of,
)
from temporalio.client import WorkflowHandle

from activities.identity import TokenSettings
from omhand.client import CaseClient, Refused
from omhand.contract.reads import Reader
from workers.embedded import TemporalServer
from workers.load import load

sys.path.insert(0, str(Path(__file__).parents[1] / "scenarios"))
from stage import Stage, load_rules, new_database, staged, until

SECRET = b"a secret that is shared with the staff system"
SOMEBODY, ANOTHER = "191212121212", "198507099805"
THE_PATIENT = {"patient": True}


def token(secret: bytes = SECRET, **claims: Any) -> str:
    """What the identity provider signs."""
    of_all = {"aud": "omhand", "exp": datetime.now(UTC) + timedelta(minutes=5)}
    return jwt.encode(of_all | claims, secret, algorithm="HS256")


def of_staff(by: dict[str, str], **claims: Any) -> str:
    """That of a member of staff."""
    return token(**({"sub": by["staff"], "unit": by["unit"], "profession": by["profession"]} | claims))


@pytest.fixture(scope="module")
async def strict(postgres_server: str, temporal_server: TemporalServer) -> AsyncIterator[Stage]:
    """A stack that lets nobody act without an assertion."""
    dsn = await new_database(postgres_server, "strict")
    await load_rules(dsn)
    async with staged(
        dsn, temporal=temporal_server, tokens=TokenSettings(secret=SECRET), require_assertions=True
    ) as stage:
        yield stage


async def rejected(handle: WorkflowHandle[Any, Any]) -> list[tuple[str, str]]:
    """What has been refused, and as what, by the log."""
    log = (await handle.query("view"))["log"]
    return [(row["detail"]["action"], row["detail"]["code"]) for row in log if row["event"] == "rejected"]


# Staff


BAD = {
    "none": {},
    "nonsense": {"assertion": "x.y.z"},
    "of somebody else": {"assertion": of_staff(DOCTOR_NORTH)},
    "for another unit": {"assertion": of_staff(NURSE_NORTH, unit=SOUTH)},
    "for another profession": {"assertion": of_staff(NURSE_NORTH, profession="doctor")},
    "of another provider": {"assertion": of_staff(NURSE_NORTH, secret=b"somebody else's secret of 32 bytes or so")},
    "for another service": {"assertion": of_staff(NURSE_NORTH, aud="journal")},
    "expired": {"assertion": of_staff(NURSE_NORTH, exp=datetime.now(UTC) - timedelta(minutes=5))},
    "without end": {"assertion": of_staff(NURSE_NORTH, exp=None)},
    "of a patient": {"assertion": token(sub="p", patient=SOMEBODY)},
}


async def test_action_without_a_good_assertion_changes_nothing_but_the_log(strict: Stage) -> None:
    handle = await strict.start("asserted")
    for carried in BAD.values():
        refused = await refusal_of(handle, "accept", {"by": NURSE_NORTH} | carried)
        assert refused.type == "NotAsserted"
        # Nothing of a token is quoted, in an error or in the log.
        assert carried.get("assertion", "?")[:12] not in refused.message.partition("assertion")[2]
        await handle.signal("accept", {"by": NURSE_NORTH} | carried)
    view = await handle.execute_update("accept", {"by": NURSE_NORTH, "assertion": of_staff(NURSE_NORTH)})
    assert (view["status"], view["assigned_to"]) == ("accepted", NURSE)
    assert await rejected(handle) == [("accept", "NotAsserted")] * 2 * len(BAD)
    stored = json.dumps([row["detail"] for row in await strict.log("asserted")])
    assert "eyJ" not in stored
    # The log of access tells of those who tried, too.
    rows = await strict.rows("select action, staff from omhand.access_log where case_id = 'asserted' order by entry")
    # Somebody tried: nobody knows that it was she.
    assert [tuple(row.values()) for row in rows] == [("accept refused", None)] * 2 * len(BAD) + [("accept", NURSE)]


async def test_action_that_was_not_vouched_for_may_be_sent_again(strict: Stage) -> None:
    handle = await strict.start("again")
    accept = {"action_id": "take-it", "by": NURSE_NORTH}
    async with await CaseClient.connect(strict.client, assertion=BAD["expired"]["assertion"]) as client:
        with pytest.raises(Refused, match="NotAsserted: assertion: the token has expired"):
            await client.act("again", "accept", accept)
    await handle.signal("accept", accept | BAD["nonsense"])
    for _ in range(2):
        async with await CaseClient.connect(strict.client, assertion=of_staff(NURSE_NORTH)) as client:
            view = await client.act("again", "accept", accept)
            assert view
            assert view.assigned_to == NURSE
    assert [row["event"] for row in (await handle.query("view"))["log"]].count("accepted") == 1


async def test_whoever_is_not_vouched_for_is_not_told_who_has_the_case(strict: Stage) -> None:
    handle = await strict.start("untold")
    await handle.execute_update("accept", {"by": NURSE_NORTH, "assertion": of_staff(NURSE_NORTH)})
    refused = await refusal_of(handle, "accept", {"by": DOCTOR_NORTH})
    assert (refused.type, NURSE in refused.message, NORTH in refused.message) == ("NotAsserted", False, False)


async def test_assertion_vouches_for_whoever_has_several_units(strict: Stage) -> None:
    handle = await strict.start("bare")
    bare = token(sub=NURSE_NORTH["staff"])
    refused = await refusal_of(handle, "accept", {"by": NURSE_NORTH | {"unit": SOUTH}, "assertion": bare})
    assert refused.type == "UnknownStaff"
    view = await handle.execute_update("accept", {"by": NURSE_NORTH, "assertion": bare})
    assert view["status"] == "accepted"


async def test_consultation_that_a_case_opens_is_vouched_for_by_the_action(strict: Stage) -> None:
    handle = await strict.start("asking")
    asked = {"by": NURSE_NORTH, "to_unit": SOUTH, "question": "?", "assertion": of_staff(NURSE_NORTH)}
    await handle.execute_update("consult", asked)
    child = strict.client.get_workflow_handle("case-asking.consultation-1")
    await strict.settled("asking.consultation-1")
    answer = {"by": NURSE_SOUTH, "advice": "!", "takes_over": False}
    assert (await refusal_of(child, "answer", answer)).type == "NotAsserted"
    view = await child.execute_update("answer", answer | {"assertion": of_staff(NURSE_SOUTH)})
    assert view["outcome"] == "answered"


ASKED = {"origin": "staff", "asked_by": NURSE_NORTH, "question": "?", "priority": None, "patient": None}


async def test_case_is_opened_in_nobody_elses_name(strict: Stage) -> None:
    for number, carried in enumerate(BAD.values()):
        handle = await strict.start(f"no-{number}", "Consultation", **(ASKED | carried))
        failed = await failure_of(handle)
        assert failed.type == "NotAsserted"
    good = await strict.start("yes", "Consultation", **ASKED, assertion=of_staff(NURSE_NORTH))
    await strict.settled("yes")
    assert (await good.query("view"))["status"] == "waiting"
    logged = await strict.rows("select action, staff, unit_id from omhand.access_log where case_id = 'yes'")
    assert [tuple(row.values()) for row in logged] == [("open", NURSE, NORTH)]
    # A case id that somebody tried in vain is told of nowhere.
    assert await strict.rows("select * from omhand.cases where case_id like 'no-%'") == []


# Patients


async def test_patient_acts_only_on_their_own_case(strict: Stage) -> None:
    # K6
    handle = await strict.start("own", patient={"id": SOMEBODY, "digital": True})
    cancel = {"by": THE_PATIENT, "reason": "better"}
    for assertion in (token(sub="p", patient=ANOTHER), of_staff(NURSE_NORTH), token(sub="p"), None):
        refused = await refusal_of(handle, "cancel", cancel | ({"assertion": assertion} if assertion else {}))
        assert refused.type == "NotAsserted"
    own = token(sub="p", patient=f"{SOMEBODY[:8]}-{SOMEBODY[8:]}")
    view = await handle.execute_update("cancel", cancel | {"assertion": own})
    assert view["outcome"] == "cancelled"


async def test_patient_opens_only_a_case_of_their_own(strict: Stage) -> None:
    # K6b
    thread = {
        "origin": "patient", "patient": {"id": SOMEBODY, "digital": True}, "message": "hej", "priority": None,
        "to": {"relation": "care_contact"},
    }  # fmt: skip
    other = await strict.start("thread-1", "MessageThread", **thread, assertion=token(sub="p", patient=ANOTHER))
    assert (await failure_of(other)).type == "NotAsserted"
    bare = await strict.start("thread-2", "MessageThread", **thread)
    assert (await failure_of(bare)).type == "NotAsserted"
    await strict.start("thread-3", "MessageThread", **thread, assertion=token(sub="p", patient=SOMEBODY))
    await until(lambda: strict.log("thread-3"))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("MessageThread", {"origin": "min_vard", "message": "hej", "priority": None}),
        ("AdministrativeCase", {"origin": "min_vard", "message": "hej", "priority": None, "service": "certificate"}),
        ("MessageThread", {"origin": "unit", "priority": None}),
        ("ScheduledVisit", {"origin": "staff", "priority": None, "booking": {"slot": "x"}}),
    ],
)
async def test_what_somebody_writes_or_makes_is_vouched_for_whatever_the_origin(
    strict: Stage, kind: str, changes: dict[str, Any]
) -> None:
    case_id = f"{kind}-{changes['origin']}"
    patient = {"id": SOMEBODY, "digital": True}
    failed = await failure_of(await strict.start(case_id, kind, patient=patient, **changes))
    assert failed.type == "NotAsserted"


async def test_backend_with_a_triage_outcome_needs_none(strict: Stage) -> None:
    outcome = {
        "case_id": "triaged", "source": "min_vard", "level": "digital", "priority": 3, "profession": "nurse",
        "unit": NORTH, "patient": {"id": "ref:triaged", "digital": True},
    }  # fmt: skip
    answer = await strict.client.execute_workflow("Intake", outcome, id="intake-triaged", task_queue="cases")
    assert answer["kind"] == "drop_in_visit"


# The client


async def test_client_carries_the_assertion_and_is_logged_before_it_reads(strict: Stage) -> None:
    await strict.start("carried")
    await strict.settled("carried")
    nurse = Reader(**NURSE_NORTH)
    client = await CaseClient.connect(strict.client, reader=nurse, assertion=lambda: of_staff(NURSE_NORTH))
    async with client:
        view = await client.act("carried", "accept", {"by": NURSE_NORTH})
        assert view
        assert (await client.view("carried")).assigned_to == NURSE
    rows = await strict.rows(
        "select action, staff, unit_id, via from omhand.access_log where case_id = 'carried' order by entry"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("accept", NURSE, NORTH, "case"),
        ("view", NURSE, NORTH, "client"),
    ]


@pytest.mark.parametrize("assertion", [None, of_staff(NURSE_SOUTH)])
async def test_client_that_is_not_vouched_for_is_shown_nothing(strict: Stage, assertion: str | None) -> None:
    case_id = f"unseen-{assertion is None}"
    await strict.start(case_id)
    await strict.settled(case_id)
    async with await CaseClient.connect(strict.client, reader=Reader(**NURSE_NORTH), assertion=assertion) as client:
        with pytest.raises(Refused, match="NotAsserted"):
            await client.view(case_id)
    rows = await strict.rows("select action from omhand.access_log where case_id = $1", case_id)
    assert [row["action"] for row in rows] == ["view refused"]


async def test_client_with_the_database_logs_what_it_reads_there(strict: Stage) -> None:
    await strict.start("listed")
    await strict.settled("listed")
    async with await CaseClient.connect(strict.client, database_url=strict.dsn, via="command") as client:
        for _ in range(3):
            assert "listed" in {row.case_id for row in await client.worklist(NORTH)}
        assert [row.event for row in await client.log("listed")]
        assert (await client.view("listed")).status == "waiting"
    rows = await strict.rows(
        "select action, case_id, about, staff from omhand.access_log where via = 'command' order by entry"
    )
    # A list that is looked at again and again is one read.
    assert [tuple(row.values()) for row in rows] == [
        ("worklist", None, NORTH, None),
        ("log", "listed", None, None),
        ("view", "listed", None, None),
    ]


# The directory


async def test_change_of_the_directory_counts_from_the_next_action_on(strict: Stage, tmp_path: Path) -> None:
    handle = await strict.start("moving")
    await handle.execute_update("note", {"by": NURSE_NORTH, "text": "1", "assertion": of_staff(NURSE_NORTH)})
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY + OTHER_PHASES)
    gone = tmp_path / "gone.toml"
    gone.write_text(DIRECTORY.replace(a_member(NURSE_NORTH), a_member(NURSE_NORTH) + "active = false\n"))
    again = tmp_path / "again.toml"
    again.write_text(DIRECTORY)
    await load(strict.dsn, gone, policy)
    note = {"by": NURSE_NORTH, "text": "2", "assertion": of_staff(NURSE_NORTH)}
    assert (await refusal_of(handle, "note", note)).type == "UnknownStaff"
    await load(strict.dsn, again, policy)
    view = await handle.execute_update("note", note)
    assert view["log"][-1]["detail"]["text"] == "2"
