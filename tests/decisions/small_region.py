"""A small region in which the rules are tried, and ``Told``: a case with all that its workflow would do around it.

    NORTH  health centre, Mon-Fri 08-12 and 13-17: doctor, nurse; cooperates with SOUTH and EAST
    SOUTH  health centre, Mon-Fri 08-17: doctor, nurse, occupational therapist; cooperates with NORTH
    EAST   clinic, Mon and Wed 09-15, on call Sat 10-14: nurse, occupational therapist; cooperates with nobody
    JOUR   on-call unit, every evening 17-22 and Sat-Sun 10-18: doctor

Of the staff, NORTH's first doctor has a phone of their own.

Monday is 2026-11-23. All times are said in local time of Europe/Stockholm, and are instants in UTC.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from decisions import decide as rules
from decisions.case import Case, view
from decisions.decide import open_case
from decisions.effects import Decision, Notice, Refusal
from decisions.errands import Asking, Ended
from decisions.facts import FoundSlot, answer, question
from decisions.file import CaseFile
from decisions.receiving import answer_opening
from decisions.region import Region
from omhand.contract.directory import Directory
from omhand.contract.events import Event
from omhand.contract.names import Code, EventName, Kind, Reason
from omhand.contract.opening import Opening, read_opening
from omhand.contract.policy import Policy
from omhand.contract.view import View

STOCKHOLM: Final = ZoneInfo("Europe/Stockholm")
HOLIDAYS: Final = frozenset({date(2026, 12, 24), date(2026, 12, 25), date(2026, 12, 26), date(2026, 12, 31)})

NORTH, SOUTH, EAST, JOUR, NOWHERE = (f"SE2321000198-{unit}" for unit in ("HC01", "HC02", "HC03", "JOUR", "HC99"))
(
    N_NURSE, N_DOCTOR, N_CLERK, S_NURSE, S_DOCTOR, S_THERAPIST, E_NURSE, J_DOCTOR, BOTH, NOBODY, N_DOCTOR_2, S_CLERK,
    E_THERAPIST,
) = (f"SE2321000198-S{number:03}" for number in range(1, 14))  # fmt: skip

By = dict[str, Any]


def by(staff: str, unit: str, profession: str) -> By:
    """Who acts."""
    return {"staff": staff, "unit": unit, "profession": profession}


NURSE_NORTH: Final = by(N_NURSE, NORTH, "nurse")
DOCTOR_NORTH: Final = by(N_DOCTOR, NORTH, "doctor")
OTHER_DOCTOR_NORTH: Final = by(N_DOCTOR_2, NORTH, "doctor")
CLERK_NORTH: Final = by(N_CLERK, NORTH, "medical_secretary")
NURSE_SOUTH: Final = by(S_NURSE, SOUTH, "nurse")
DOCTOR_SOUTH: Final = by(S_DOCTOR, SOUTH, "doctor")
THERAPIST_SOUTH: Final = by(S_THERAPIST, SOUTH, "occupational_therapist")
CLERK_SOUTH: Final = by(S_CLERK, SOUTH, "medical_secretary")
NURSE_EAST: Final = by(E_NURSE, EAST, "nurse")
THERAPIST_EAST: Final = by(E_THERAPIST, EAST, "occupational_therapist")
DOCTOR_JOUR: Final = by(J_DOCTOR, JOUR, "doctor")
NURSE_OF_BOTH_NORTH: Final = by(BOTH, NORTH, "nurse")
NURSE_OF_BOTH_SOUTH: Final = by(BOTH, SOUTH, "nurse")
PATIENT: Final[By] = {"patient": True}
STAFF: Final = (
    NURSE_NORTH, DOCTOR_NORTH, CLERK_NORTH, NURSE_SOUTH, DOCTOR_SOUTH, THERAPIST_SOUTH, NURSE_EAST, DOCTOR_JOUR,
    NURSE_OF_BOTH_NORTH, NURSE_OF_BOTH_SOUTH, OTHER_DOCTOR_NORTH, CLERK_SOUTH, THERAPIST_EAST,
)  # fmt: skip

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri")
EVERY_DAY: Final = (*WEEKDAYS, "sat", "sun")


def local(wall: str) -> datetime:
    """``2026-11-23 09:00`` on the wall, as an instant."""
    return datetime.fromisoformat(wall).replace(tzinfo=STOCKHOLM).astimezone(UTC)


MONDAY_9: Final = local("2026-11-23 09:00")


def on(days: Iterable[str], *spans: str) -> dict[str, list[str]]:
    """The same hours on each of these days."""
    return {day: list(spans) for day in days}


def a_unit(unit: str, professions: Sequence[str], opening: dict[str, list[str]], **more: Any) -> dict[str, Any]:
    """A unit as the file writes it."""
    short = unit.rsplit("-", 1)[1].lower()
    return {
        "id": unit,
        "name": f"Enhet {short}",
        "kind": "health_centre",
        "opening": opening,
        "phone": f"+4670174{len(short)}{sum(map(ord, short)) % 1000:03}",
        "manager": {
            "name": "Chef",
            "phone": f"+4670175{sum(map(ord, short)) % 1000:03}",
            "email": f"{short}@example.org",
        },
        "professions": list(professions),
        **more,
    }


UNITS: Final[dict[str, dict[str, Any]]] = {
    NORTH: a_unit(
        NORTH, ["doctor", "nurse"], on(WEEKDAYS, "08:00-12:00", "13:00-17:00"), cooperates_with=[SOUTH, EAST]
    ),
    SOUTH: a_unit(
        SOUTH, ["doctor", "nurse", "occupational_therapist"], on(WEEKDAYS, "08:00-17:00"), cooperates_with=[NORTH]
    ),
    EAST: a_unit(
        EAST, ["nurse", "occupational_therapist"], on(("mon", "wed"), "09:00-15:00"), kind="clinic",
        on_call=on(("sat",), "10:00-14:00"),
    ),
    JOUR: a_unit(
        JOUR, ["doctor"], on(EVERY_DAY, "17:00-22:00") | on(("sat", "sun"), "10:00-18:00"), kind="on_call",
    ),
}  # fmt: skip

PHONE_OF_N_DOCTOR: Final = "+46701740777"

PROFESSIONS: Final = [
    {"name": name, "clinical": name != "medical_secretary"}
    for name in ("doctor", "nurse", "occupational_therapist", "dietitian", "medical_secretary")
]


def directory_json(staff: dict[str, dict[str, Any]] | None = None, **units: dict[str, Any]) -> dict[str, Any]:
    """The directory as the file writes it; a unit's short name with keys to change, or a whole unit to add.

    ``staff`` has more to say of some, by their ids.
    """
    said = {N_DOCTOR: {"phone": PHONE_OF_N_DOCTOR}} | (staff or {})
    changed = {unit: {**told_, **units.pop(unit.rsplit("-", 1)[1], {})} for unit, told_ in UNITS.items()}
    works: dict[str, list[dict[str, str]]] = {}
    for member in STAFF:
        works.setdefault(member["staff"], []).append({"unit": member["unit"], "profession": member["profession"]})
    return {
        "timezone": "Europe/Stockholm",
        "holidays": "SE",
        "region": "21",
        "profession": PROFESSIONS,
        "unit": [*changed.values(), *units.values()],
        "staff": [{"id": who, "name": "Någon", "works_at": at, **said.get(who, {})} for who, at in works.items()],
    }


NOTIFY: Final = {"after": "PT0S", "do": "notify"}
WAITING: Final[dict[str, Any]] = {
    "kind": ["drop_in_visit"],
    "phase": "waiting",
    "clock": "opening_hours",
    "due": "PT30M",
    "steps": [
        NOTIFY,
        {"after": "PT15M", "do": "notify"},
        {"after": "PT30M", "do": "offer", "to": "cooperating"},
        {"after": "PT45M", "do": "offer", "to": "every_unit", "any_profession": True},
        {"after": "PT60M", "do": "alert_manager"},
    ],
    "repeat": {"every": "PT15M", "do": "alert_manager", "at_most": 2},
}
ACCEPTED: Final[dict[str, Any]] = {
    "phase": "accepted",
    "clock": "opening_hours",
    "due": "PT2H",
    "steps": [{"after": "PT1H", "do": "notify"}, {"after": "PT2H", "do": "alert_manager"}],
}


def ladder(phase: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A ladder for every kind."""
    first = {"phase": phase, "clock": "opening_hours", "due": "PT30M", "steps": list(steps or (NOTIFY,))}
    return first | more


OTHER_PHASES: Final = [ladder(phase) for phase in ("waiting", "handover", "consultation", "ticket", "message")]


def policy_json(*ladders: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The policy as the file writes it: these ladders before those that every case fits."""
    return {"ladder": [*(ladders or (WAITING,)), ACCEPTED, *OTHER_PHASES], **more}


def region(
    *ladders: dict[str, Any],
    version: int = 1,
    units: dict[str, dict[str, Any]] | None = None,
    staff: dict[str, dict[str, Any]] | None = None,
    **policy: Any,
) -> Region:
    """The small region, with these ladders first; nothing happens at closing unless it is said."""
    policy = {"closing": {"kinds": []}} | policy
    files = (directory_json(staff, **(units or {})), policy_json(*ladders, **policy))
    return _made(version, *(json.dumps(file, default=str) for file in files))


@cache
def _made(version: int, directory: str, policy: str) -> Region:
    """Once for each pair of files: a region never changes."""
    read = Directory.model_validate_json(directory), Policy.model_validate_json(policy)
    return Region.of(version, *read, STOCKHOLM, HOLIDAYS)


OPENING: Final[dict[str, Any]] = {
    "case_id": "c-1",
    "origin": "min_vard",
    "unit": NORTH,
    "profession": "doctor",
    "priority": 3,
    "patient": {"id": "191212121212", "digital": True, "name": "Tolvan Tolvansson"},
    "reason": "ont i magen",
}
TICKET: Final = {"valid_from": "2026-11-23T09:00:00+01:00", "valid_until": "2026-12-07T09:00:00+01:00"}
WITHOUT_PRIORITY: Final = {key: value for key, value in OPENING.items() if key != "priority"}
OPENINGS: Final[dict[Kind, dict[str, Any]]] = {
    Kind.DROP_IN_VISIT: OPENING,
    Kind.PHONE_CONSULTATION: OPENING
    | {"origin": "1177_phone", "level": "physical", "patient": {"id": "191212121212", "digital": False}},
    Kind.CONSULTATION: {
        "case_id": "c-1",
        "origin": "staff",
        "unit": SOUTH,
        "profession": "doctor",
        "asked_by": DOCTOR_NORTH,
        "question": "ser du vad det är?",
    },
    Kind.SCHEDULED_VISIT: OPENING | {"priority": 7, "ticket": TICKET},
    Kind.ADMINISTRATIVE_CASE: WITHOUT_PRIORITY
    | {"service": "prescription_renewal", "message": "kan ni förnya mitt recept?"},
    Kind.MESSAGE_THREAD: WITHOUT_PRIORITY
    | {"origin": "patient", "to": {"relation": "care_contact", "staff": N_DOCTOR}, "message": "hur ska jag vila?"},
}
"""What each kind is opened with where nothing else is said: NORTH receives a case, and SOUTH a question of NORTH's."""


def a_slot(starts_at: str | datetime, unit: str = NORTH, profession: str = "doctor", **more: Any) -> FoundSlot:
    """A bookable time of 20 minutes; its id says when and where."""
    start = local(starts_at) if isinstance(starts_at, str) else starts_at
    given = {"id": f"{unit[-4:]}-{start:%m%d-%H%M}", "unit": unit, "profession": profession, "starts_at": start}
    return FoundSlot.model_validate({**given, "length": "PT20M", **more})


@dataclass
class Told:
    """A case, the time, and everybody who was told: what a workflow does around the rules, without the workflow."""

    region: Region
    now: datetime
    file: CaseFile
    notices: list[Notice] = field(default_factory=list)
    slots: dict[str, FoundSlot] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        """As it is now."""
        return self.file.case

    @property
    def log(self) -> tuple[Event, ...]:
        """Every event."""
        return self.file.log

    @property
    def events(self) -> list[EventName]:
        """The names of what happened."""
        return [event.event for event in self.log]

    @property
    def reasons(self) -> list[tuple[Reason, str]]:
        """Why each unit was told, in order."""
        return [(notice.reason, notice.unit) for notice in self.notices]

    def view(self) -> View:
        """As it is shown now."""
        return view(self.case, self.log, self.now)

    def until(self, wall: str | datetime) -> "Told":
        """Time passes, moment by moment as the timers would have it."""
        goal = local(wall) if isinstance(wall, str) else wall
        while (moment := self.case.next_moment()) is not None and moment.at <= goal:
            self.now = max(self.now, moment.at)
            self._keep(rules.tick(self.case, self.now))
        self.now = goal
        return self

    def after(self, **duration: float) -> "Told":
        """So much time passes."""
        return self.until(self.now + timedelta(**duration))

    def act(self, name: str, who: By | None = None, **payload: Any) -> Refusal | None:
        """Somebody acts; the refusal, if it was one."""
        given = payload if who is None else {"by": who, **payload}
        action_id = rules.action_id_of(given)
        earlier = self.file.answers.get(action_id or "")
        if earlier:
            return earlier.refusal
        result = self._decided(name, given)
        refusal = result if isinstance(result, Refusal) else None
        if isinstance(result, Refusal):
            result = rules.rejected(self.case, name, rules.actor_of(given), result, self.now)
        self._keep(result)
        self.file = self.file.answered(action_id, refusal)
        return refusal

    def may(self, name: str, who: By | None = None, **payload: Any) -> "Told":
        """Somebody acts, and it is done."""
        refusal = self.act(name, who, **payload)
        assert refusal is None, refusal
        return self

    def refused(self, name: str, who: By | None = None, **payload: Any) -> Code:
        """Somebody acts, and it is refused: with this code."""
        refusal = self.act(name, who, **payload)
        assert refusal is not None
        return refusal.code

    def consult(self, who: By = DOCTOR_NORTH, to_unit: str = SOUTH, **payload: Any) -> "Told":
        """Somebody is consulted; the consultation, as it is opened as a case of its own."""
        self.may("consult", who, to_unit=to_unit, **({"question": "vad tror du?"} | payload))
        asked = self.log[-1].detail
        more = {"to": {"staff": asked["to_staff"]}} if asked["to_staff"] else {}
        return told(
            self.region, self.now, kind=Kind.CONSULTATION, about=self.case.case_id, case_id=asked["consultation"],
            unit=asked["to_unit"], profession=asked["to_profession"], priority=self.case.priority, asked_by=who,
            question=asked["question"], wants_handover=asked["wants_handover"], **more,
        )  # fmt: skip

    def learns(self, *ended: Ended) -> "Told":
        """Consultations of this case have ended, and it is told of it."""
        self._keep(rules.consultations_ended(self.case, ended, self.now))
        return self

    def hears(self, status: str, who: By | None = None) -> "Told":
        """The case that asked says how it looks at this question by now."""
        self._keep(rules.no_longer_asked(self.case, Asking.model_validate({"status": status, "by": who}), self.now))
        return self

    def fails(self, notice: Notice, error: str = "gateway answered 410") -> tuple[Notice, ...]:
        """A notification cannot be delivered; whoever is told instead."""
        decision = rules.undelivered(self.case, notice, error, self.now)
        self._keep(decision)
        return decision.notices

    def lately(self, earlier: int) -> list[tuple[Reason, str]]:
        """Why each unit was told, but for the first ``earlier`` notifications."""
        return self.reasons[earlier:]

    def offer_of(self, unit: str) -> str:
        """The offer that this unit has."""
        offer = self.case.offer_to(unit)
        assert offer is not None
        return offer.offer

    def _decided(self, name: str, given: dict[str, Any]) -> Decision | Refusal:
        action = rules.read_action(name, given)
        if isinstance(action, Refusal):
            return action
        asked = question(self.case, action, self.now)
        facts = answer(asked, self.region, self.slots.get(asked.slot or ""))
        return rules.decide(self.case, action, self.now, facts)

    def _keep(self, decision: Decision) -> None:
        self.file = self.file.after(decision)
        self.notices += decision.notices
        self._hold()

    def _hold(self) -> None:
        """What the database does: a time is held by the case that has booked it."""
        for slot in self.slots.values():
            booking = self.case.booking if self.case.is_open else None
            is_ours = booking is not None and booking.slot == slot.id
            if is_ours or slot.held_by == self.case.case_id:
                self.slots[slot.id] = slot.model_copy(update={"held_by": self.case.case_id if is_ours else None})


def told(
    here: Region,
    at: datetime | str = MONDAY_9,
    kind: Kind = Kind.DROP_IN_VISIT,
    *,
    about: str | None = None,
    slots: Iterable[FoundSlot] = (),
    **opening: Any,
) -> Told:
    """A case of this kind as ``OPENINGS`` has it, or what is said otherwise, just opened.

    Without more it is a drop-in of priority 3 to a doctor at NORTH. ``about`` is the case that asks, of a consultation;
    ``slots`` are the bookable times that there are.
    """
    now = local(at) if isinstance(at, str) else at
    given = read_opening(kind, OPENINGS[kind] | opening, Opening)
    known = {slot.id: slot for slot in slots}
    facts = answer_opening(kind, given, now, here, known.get(given.booking.slot) if given.booking else None)
    decision = open_case(kind, given, facts, now, about)
    story = Told(here, now, CaseFile.begin(decision), list(decision.notices), known)
    story._hold()
    return story


def answered(case_id: str = "c-1.consultation-1", who: By = DOCTOR_SOUTH, **more: Any) -> Ended:
    """A consultation has been answered, or has ended as is said otherwise."""
    how = {"status": "answered", "advice": "vila", "takes_over": False} | more
    return Ended.model_validate({"case_id": case_id, "unit": who["unit"], "by": who, **how})


def ended(question: Told) -> Ended:
    """How this consultation has ended, as its own log tells it."""
    case = question.case
    last = question.log[-1]
    ends = {EventName.ANSWERED, EventName.REFUSED}
    said = next((each for each in question.log if each.event in ends and each.detail["consultation"] is None), last)
    statuses = {"refused": "refused", "withdrawn": "withdrawn", "cancelled": "withdrawn", "not_needed": "not_needed"}
    return Ended.model_validate({
        "case_id": case.case_id,
        "status": statuses.get(case.outcome or "", "answered"),
        "unit": said.detail.get("unit") or case.responsible_unit,
        "by": said.by.to_json() if said.by and "staff" in said.by.to_json() else None,
        "takes_over": said.detail.get("takes_over", False),
        "advice": said.detail.get("advice"),
        "reason": said.detail.get("reason"),
    })  # fmt: skip
