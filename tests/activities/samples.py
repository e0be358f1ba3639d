"""A small region as its two files, and steps of cases in it, made by the rules themselves."""

import tomllib
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from decisions.case import Case
from decisions.decide import decide, open_case, read_action, tick
from decisions.effects import Decision, Notice, Refusal
from decisions.errands import Access, Step
from decisions.facts import answer, question
from decisions.receiving import answer_opening
from decisions.region import Region
from omhand.contract.actions import Action
from omhand.contract.directory import Directory
from omhand.contract.names import EventName, Kind
from omhand.contract.opening import Opening
from omhand.contract.policy import Policy

NORTH, SOUTH, EAST, NOWHERE = (f"SE2321000198-{unit}" for unit in ("HC01", "HC02", "HC03", "NOWHERE"))
NURSE = {"staff": "SE2321000198-S1", "unit": NORTH, "profession": "nurse"}
SOUTH_NURSE = {"staff": "SE2321000198-S2", "unit": SOUTH, "profession": "nurse"}
CLERK = {"staff": "SE2321000198-S3", "unit": NORTH, "profession": "medical_secretary"}
PATIENT = {"patient": True}

ALWAYS = ", ".join(f'{day} = ["00:00-24:00"]' for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun"))
IN_THE_DAYTIME = ", ".join(f'{day} = ["08:00-17:00"]' for day in ("tue", "wed", "thu", "fri"))

DIRECTORY = f"""
timezone = "Europe/Stockholm"
holidays = "SE"
region = "21"

[[profession]]
name = "nurse"
code = "SSK"
clinical = true

[[profession]]
name = "medical_secretary"
clinical = false

[[unit]]
id = "{NORTH}"
name = "Hälsocentral Norr"
kind = "health_centre"
opening = {{ mon = ["08:00-12:00", "13:00-17:00"], {IN_THE_DAYTIME} }}
on_call = {{ sat = ["10:00-18:00"] }}
phone = "+46701740601"
manager = {{ name = "Chef Norr", phone = "+46701740701", email = "norr@example.org" }}
cooperates_with = ["{SOUTH}", "{EAST}"]
professions = ["nurse", "medical_secretary"]

[[unit]]
id = "{SOUTH}"
name = "Hälsocentral Syd"
kind = "health_centre"
opening = {{ {ALWAYS} }}
phone = "+46701740602"
manager = {{ name = "Chef Syd", phone = "+46701740702" }}
cooperates_with = ["{NORTH}"]
professions = ["nurse"]

[[unit]]
id = "{EAST}"
name = "Hälsocentral Öst"
kind = "health_centre"
opening = {{ {ALWAYS} }}
phone = "+46701740603"
manager = {{ name = "Chef Öst", email = "ost@example.org" }}
professions = ["nurse"]

[[staff]]
id = "SE2321000198-S1"
name = "Sköterska Norr"
works_at = [{{ unit = "{NORTH}", profession = "nurse" }}]

[[staff]]
id = "SE2321000198-S2"
name = "Sköterska Syd"
works_at = [{{ unit = "{SOUTH}", profession = "nurse" }}]

[[staff]]
id = "SE2321000198-S3"
name = "Sekreterare Norr"
works_at = [{{ unit = "{NORTH}", profession = "medical_secretary" }}]

[[slot]]
id = "hc01-20261124-0900"
unit = "{NORTH}"
profession = "nurse"
starts_at = 2026-11-24T09:00:00+01:00
length = "PT20M"
"""

POLICY = """
[[ladder]]
phase = "waiting"
clock = "always"
due = "PT30M"
steps = [
  { after = "PT0S", do = "notify" },
  { after = "PT15M", do = "notify" },
  { after = "PT30M", do = "offer", to = "cooperating" },
  { after = "PT60M", do = "alert_manager" },
]
repeat = { every = "PT15M", do = "alert_manager", at_most = 2 }

[[ladder]]
phase = "accepted"
clock = "always"
due = "PT4H"
steps = [{ after = "PT0S", do = "notify" }, { after = "PT4H", do = "alert_manager" }]

[[ladder]]
phase = "handover"
clock = "opening_hours"
due = "PT1H"
steps = [{ after = "PT1H", do = "alert_manager" }]

[[ladder]]
phase = "consultation"
clock = "opening_hours"
due = "PT1H"
steps = [{ after = "PT1H", do = "alert_manager" }]

[[ladder]]
phase = "ticket"
clock = "always"
due = "P14D"
steps = [{ after = "P14D", do = "notify" }]

[[ladder]]
phase = "message"
clock = "opening_hours"
due = "PT8H"
steps = [{ after = "PT8H", do = "notify" }]

[escalation]
off = [{ kind = "administrative_case", profession = "nurse", on_call_time = true }]

[closing]
warn_before = "PT30M"
kinds = ["drop_in_visit"]
offer_to = ["cooperating"]

[routing]
physical_doctor_6_11_to_nurse_from = 2026-04-01
ticket_valid = "P14D"
"""

REGION = Region.of(
    1,
    Directory.model_validate(tomllib.loads(DIRECTORY)),
    Policy.model_validate(tomllib.loads(POLICY)),
    ZoneInfo("Europe/Stockholm"),
    frozenset(),
)
MOMENT = timedelta(microseconds=1)
TAKING = {EventName.ACCEPTED, EventName.CLOSED, EventName.CANCELLED}


def soon() -> datetime:
    """This moment, as the database knows it too: what depends on the time of day is tested against the real one."""
    return datetime.now(UTC)


def opening(case_id: str, **changes: Any) -> Opening:
    """The opening of a drop-in at the northern unit."""
    given = {
        "case_id": case_id,
        "origin": "min_vard",
        "unit": NORTH,
        "profession": "nurse",
        "priority": 3,
        "patient": {"id": f"ref:of-{case_id}", "digital": True},
    }
    return Opening.model_validate(given | changes)


def opened(case_id: str, at: datetime | None = None, run_id: str = "run-1", **changes: Any) -> Step:
    """The first step of a drop-in."""
    at = at or soon()
    given = opening(case_id, **changes)
    decision = open_case(Kind.DROP_IN_VISIT, given, answer_opening(Kind.DROP_IN_VISIT, given, at, REGION), at)
    return step_of(decision, run_id=run_id, patient=given.patient.id if given.patient else None)


def acted(before: Step, name: str, at: datetime | None = None, **payload: Any) -> Step:
    """The step of an action after another step."""
    at = at or soon()
    payload = {"by": NURSE} | payload
    action = read_action(name, payload)
    assert isinstance(action, Action), action
    decision = decide(before.case, action, at, answer(question(before.case, action, at), REGION))
    assert not isinstance(decision, Refusal), decision
    return step_of(decision, run_id=before.run_id, access=(Access(at=at, by=action.by, action=name),))


def passed(before: Step, at: datetime) -> Step:
    """The step of what has become due by then."""
    return step_of(tick(before.case, at), run_id=before.run_id)


def looked_again(before: Step, **changes: Any) -> Step:
    """A step in which nothing happens."""
    return Step(run_id=before.run_id, case=before.case, events=(), notices=(), takes=False, **changes)


def step_of(decision: Decision, run_id: str = "run-1", **more: Any) -> Step:
    """A decision as it is written."""
    takes = any(event.event in TAKING for event in decision.events)
    return Step(
        run_id=run_id, case=decision.case, events=decision.events, notices=decision.notices, takes=takes, **more
    )


def both(first: Step, then: Step) -> Step:
    """Two steps written as one."""
    return first.model_copy(
        update={
            "case": then.case,
            "events": first.events + then.events,
            "notices": first.notices + then.notices,
            "takes": first.takes or then.takes,
            "access": first.access + then.access,
        }
    )


def with_offers(step: Step, *offers: dict[str, Any]) -> Step:
    """The step with these offers of the case."""
    views = [{"offer": f"9.{n}", "since": step.case.opened_at} | offer for n, offer in enumerate(offers, 1)]
    case = Case.model_validate(step.case.model_dump() | {"offers": views})
    return step.model_copy(update={"case": case})


def with_notice(step: Step, **changes: Any) -> Step:
    """The step with its first notice changed."""
    notice = Notice.model_validate(step.notices[0].model_dump() | changes)
    return step.model_copy(update={"notices": (notice,)})
