"""What may come to a case, drawn at random: regions, instants, who acts and with what payloads, openings, nonsense."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from hypothesis import strategies as st
from small_region import (
    ACCEPTED,
    EAST,
    JOUR,
    N_DOCTOR,
    NORTH,
    NOTIFY,
    NOWHERE,
    PATIENT,
    PHONE_OF_N_DOCTOR,
    S_DOCTOR,
    S_NURSE,
    SOUTH,
    STAFF,
    WAITING,
    a_slot,
    by,
    ladder,
    local,
    region,
)  # fmt: skip

from decisions.facts import FoundSlot
from omhand.contract.names import ActionName, Kind

UNITS: Final = (NORTH, SOUTH, EAST, JOUR)
PROFESSIONS: Final = ("doctor", "nurse", "occupational_therapist", "dietitian")
OFFER_NOW: Final = {"after": "PT0S", "do": "offer", "to": "every_unit", "any_profession": True}
EVERY_KIND: Final = {key: value for key, value in WAITING.items() if key != "kind"}
HANDING: Final = ladder(
    "handover", NOTIFY, {"after": "PT10M", "do": "notify"}, {"after": "PT30M", "do": "alert_manager"}, due="PT20M"
)
ASKING: Final = EVERY_KIND | {"phase": "consultation"}
WRITING: Final = EVERY_KIND | {"phase": "message"}
BOOKING: Final = ladder(
    "ticket", NOTIFY, {"after": "PT8H", "do": "notify"}, {"after": "PT40H", "do": "alert_manager"}, due="PT24H"
)
AWAY: Final[dict[str, dict[str, Any]]] = {
    N_DOCTOR: {"absent": [{"first_day": "2026-11-24", "last_day": "2026-11-25"}], "phone": PHONE_OF_N_DOCTOR},
    S_NURSE: {"phone": "+46701740888"},
    S_DOCTOR: {"absent": [{"first_day": "2026-01-01", "last_day": "2027-12-31"}]},
}
"""Some are not there, now and then or at all (K6b)."""
REGIONS: Final = (
    region(),
    region(EVERY_KIND, HANDING, ASKING, closing={}),
    region(WAITING | {"clock": "always"}, ACCEPTED | {"clock": "always"}, HANDING | {"clock": "always"}),
    region(ASKING, escalation={"off": [{"profession": "doctor"}, {"unit": SOUTH}]}, closing={"warn_before": "PT0S"}),
    region(ladder("waiting", OFFER_NOW, clock="always", due="PT0S"), ladder("accepted")),
    region(
        WAITING | {"priority": [2, 3]},
        ladder("waiting", due="PT8H", repeat={"every": "PT4H", "do": "notify", "at_most": 20}),
        closing={"any_profession": True, "offer_to": ["every_unit"]},
    ),
    region(
        units={"JOUR": {"opening": {"sat": ["10:00-18:00"]}}, "HC02": {"opening": {"mon": ["08:00-17:00"]}}},
        closing={"kinds": ["drop_in_visit", "consultation"]},
    ),
    region(EVERY_KIND, WRITING, BOOKING, HANDING, staff=AWAY, closing={"kinds": [*Kind]}),
    region(
        WRITING | {"clock": "working_days", "due": "P1D", "steps": [NOTIFY, {"after": "P2D", "do": "alert_manager"}]},
        BOOKING | {"clock": "always"},
        ladder("waiting", clock="always"),
        staff=AWAY,
    ),
)
STARTS: Final = tuple(
    map(
        local,
        (
            "2026-11-23 09:00", "2026-11-27 16:45", "2026-11-28 12:00", "2026-11-25 02:00", "2026-12-23 16:30",
            "2026-10-23 16:50", "2026-10-25 02:15", "2027-03-26 16:50", "2027-03-28 01:59",
        ),
    )
)  # fmt: skip
PASSING: Final = st.one_of(
    st.integers(0, 90).map(lambda minutes: timedelta(minutes=minutes)),
    st.integers(0, 20).map(lambda hours: timedelta(hours=hours)),
    st.integers(1, 6).map(lambda days: timedelta(days=days)),
    st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(minutes=15), timedelta(minutes=30)]),
)
ACTORS: Final = st.sampled_from([
    *STAFF, *STAFF, PATIENT,
    by("SE2321000198-S999", NORTH, "nurse"), by(S_DOCTOR, NORTH, "doctor"), by(S_DOCTOR, NOWHERE, "doctor"),
])  # fmt: skip
IDS: Final = st.sampled_from([None, None, None, "a", "b", "c"])
JUNK: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(["by", "staff", "unit", "action_id", "reason", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip

WORDS: Final = st.sampled_from(["x", "åäö", "lång " * 100])
WHOM: Final = {
    "to_unit": st.sampled_from([*UNITS, *UNITS, NOWHERE]),
}
MORE_OF_WHOM: Final = {
    "to_profession": st.sampled_from([*PROFESSIONS, "medical_secretary"]),
    "to_staff": st.sampled_from([member["staff"] for member in STAFF]),
}
GROUNDS: Final = st.sampled_from(
    [
        {"ground": "misplaced"},
        {"ground": "agreed_practice", "reference": "Rutin 7"},
        {"ground": "after_consultation", "reference": "c-1.consultation-1"},
        {"ground": "after_consultation"},
    ]
)
TIMES: Final = (
    (NORTH, timedelta(hours=1)), (SOUTH, timedelta(days=1)), (NORTH, timedelta(days=3)), (EAST, timedelta(days=13)),
    (JOUR, timedelta(days=40)), (SOUTH, timedelta(0)),
)  # fmt: skip
"""Where there are bookable times for whom a visit is directed to, and how long after it was opened."""
SLOT_IDS: Final = st.sampled_from([f"s-{number}" for number in range(1, 10)])
"""Of those, of one that is another case's, of one that is another profession's, and of one that there is not."""


def slots_of(at: datetime, profession: str) -> tuple[FoundSlot, ...]:
    """The times that can be booked, rightly or not."""
    other = "nurse" if profession == "doctor" else "doctor"
    theirs = [a_slot(at + after, unit, profession, id=f"s-{n}") for n, (unit, after) in enumerate(TIMES, 1)]
    day = timedelta(days=1)
    return (
        *theirs,
        a_slot(at + 2 * day, NORTH, profession, id="s-7", held_by="c-other"),
        a_slot(at + day, SOUTH, other, id="s-8"),
    )


ADVICE: Final = st.fixed_dictionaries({"advice": WORDS, "takes_over": st.booleans()})
PAYLOADS: Final[dict[ActionName, st.SearchStrategy[dict[str, Any]]]] = {
    ActionName.REFUSE: st.fixed_dictionaries({"reason": WORDS}),
    ActionName.HAND_OVER: st.tuples(st.fixed_dictionaries(WHOM, optional=MORE_OF_WHOM), GROUNDS).map(
        lambda parts: parts[0] | parts[1]
    ),
    ActionName.WITHDRAW: st.fixed_dictionaries(
        {}, optional={"consultation": st.sampled_from(["c-1.consultation-1", "c-1.consultation-2"])}
    ),
    ActionName.RELEASE: st.fixed_dictionaries({"reason": WORDS}),
    ActionName.CONSULT: st.fixed_dictionaries(WHOM | {"question": WORDS}, optional=MORE_OF_WHOM),
    ActionName.ANSWER: ADVICE,
    ActionName.REPLY: st.just({"text": "x"}),
    ActionName.MESSAGE: st.just({"text": "x"}),
    ActionName.BOOK: st.fixed_dictionaries({"slot": SLOT_IDS}),
    ActionName.CANCEL_BOOKING: st.fixed_dictionaries({}, optional={"reason": WORDS}),
    ActionName.REPRIORITISE: st.fixed_dictionaries({"priority": st.integers(1, 13), "reason": WORDS}),
    ActionName.NOTE: st.fixed_dictionaries({"text": WORDS}),
    ActionName.CLOSE: st.fixed_dictionaries({
        "outcome": st.sampled_from(["treated", "referred", "cancelled"]),
        "held_as": st.sampled_from(["video", "chat", "phone"]),
    }),
    ActionName.CANCEL: st.fixed_dictionaries({"reason": WORDS}),
}  # fmt: skip


# Openings ---------------------------------------------------------------------------------------------------------

Openings = st.SearchStrategy[dict[str, Any]]
ANY_PRIORITY: Final[dict[str, Any]] = {"priority": st.none() | st.integers(2, 12)}
WINDOWS: Final = (
    (timedelta(0), timedelta(days=14)), (timedelta(hours=-1), timedelta(days=30)), (timedelta(0), timedelta(hours=2)),
    (timedelta(days=2), timedelta(days=4)), (timedelta(days=-14), timedelta(0)), (timedelta(days=-5), timedelta(-1)),
)  # fmt: skip
"""Of tickets: for now, for later, for no time any more."""


def _drop_in(_at: datetime, _unit: str) -> Openings:
    return st.fixed_dictionaries({"priority": st.sampled_from([2, 3, 4, 5, 12])})


def _from_1177(_at: datetime, _unit: str) -> Openings:
    # Of 6-11 those to a doctor would go to a nurse, where they are physical (K5c).
    return st.fixed_dictionaries({"priority": st.integers(2, 12), "level": st.just("digital")})


def _question(_at: datetime, _unit: str) -> Openings:
    return st.fixed_dictionaries(
        {"asked_by": st.sampled_from(STAFF)}, optional={"priority": st.integers(2, 12), "about": st.just("c-0")}
    )


def _visit(at: datetime, _unit: str) -> Openings:
    tickets = st.sampled_from([
        {"valid_from": (at + since).isoformat(), "valid_until": (at + until).isoformat()} for since, until in WINDOWS
    ])  # fmt: skip
    by_a_unit = {"origin": st.just("unit"), "asked_by": st.sampled_from(STAFF)} | ANY_PRIORITY
    booked = st.sampled_from([{"slot": f"s-{number}"} for number in range(1, len(TIMES) + 1)])
    return st.one_of(
        st.fixed_dictionaries({"ticket": tickets, "priority": st.integers(6, 11)}),
        st.fixed_dictionaries(by_a_unit | {"ticket": tickets}),
        st.fixed_dictionaries(by_a_unit | {"ticket": st.none(), "booking": booked}),
    )


def _administrative(_at: datetime, _unit: str) -> Openings:
    services = st.sampled_from(["prescription_renewal", "certificate", "other"])
    return st.fixed_dictionaries({"service": services, "message": st.none() | WORDS} | ANY_PRIORITY)


def _thread(_at: datetime, unit: str) -> Openings:
    """Of a patient to whoever is or was at the unit, or to none by name; or of the unit, to the patient."""
    theirs = [member["staff"] for member in STAFF if member["unit"] == unit]
    named = st.fixed_dictionaries(
        {"relation": st.sampled_from(["care_contact", "treating_role"])},
        optional={"staff": st.sampled_from([*theirs, *theirs, "SE2321000198-S999"])},
    )
    message = {"message": st.none() | WORDS} | ANY_PRIORITY
    chats = {"origin": st.sampled_from(["unit", "staff"]), "asked_by": st.none() | st.sampled_from(STAFF)}
    return st.one_of(
        st.fixed_dictionaries(message | {"to": named, "message": WORDS}),
        st.fixed_dictionaries(message | {"to": named}),
        st.fixed_dictionaries(message | chats | {"to": st.just({"relation": "unit_chat"})}),
    )


OPENINGS_OF: Final[dict[Kind, Callable[[datetime, str], Openings]]] = {
    Kind.DROP_IN_VISIT: _drop_in,
    Kind.SCHEDULED_VISIT: _visit,
    Kind.ADMINISTRATIVE_CASE: _administrative,
    Kind.CONSULTATION: _question,
    Kind.PHONE_CONSULTATION: _from_1177,
    Kind.MESSAGE_THREAD: _thread,
}
"""What a case of this kind may be opened with at this instant by this unit, beside what every case has."""
