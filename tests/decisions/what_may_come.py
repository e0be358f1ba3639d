"""What may come to a case, drawn at random: regions, instants, who acts and with what payloads, openings, nonsense."""

from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st
from small_region import (
    ACCEPTED,
    EAST,
    JOUR,
    NORTH,
    NOTIFY,
    NOWHERE,
    PATIENT,
    S_DOCTOR,
    SOUTH,
    STAFF,
    WAITING,
    by,
    ladder,
    local,
    region,
)  # fmt: skip

from omhand.contract.names import ActionName, Kind

UNITS: Final = (NORTH, SOUTH, EAST, JOUR)
PROFESSIONS: Final = ("doctor", "nurse", "occupational_therapist", "dietitian")
OFFER_NOW: Final = {"after": "PT0S", "do": "offer", "to": "every_unit", "any_profession": True}
EVERY_KIND: Final = {key: value for key, value in WAITING.items() if key != "kind"}
HANDING: Final = ladder(
    "handover", NOTIFY, {"after": "PT10M", "do": "notify"}, {"after": "PT30M", "do": "alert_manager"}, due="PT20M"
)
ASKING: Final = EVERY_KIND | {"phase": "consultation"}
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
    ActionName.BOOK: st.just({"slot": "s-1"}),
    ActionName.REPRIORITISE: st.fixed_dictionaries({"priority": st.integers(1, 13), "reason": WORDS}),
    ActionName.NOTE: st.fixed_dictionaries({"text": WORDS}),
    ActionName.CLOSE: st.fixed_dictionaries({
        "outcome": st.sampled_from(["treated", "referred", "cancelled"]),
        "held_as": st.sampled_from(["video", "chat", "phone"]),
    }),
    ActionName.CANCEL: st.fixed_dictionaries({"reason": WORDS}),
}  # fmt: skip
OPENINGS_OF: Final = {
    Kind.DROP_IN_VISIT: st.fixed_dictionaries({"priority": st.sampled_from([2, 3, 4, 5, 12])}),
    # Of 6-11 those to a doctor would go to a nurse, where they are physical (K5c).
    Kind.PHONE_CONSULTATION: st.fixed_dictionaries({
        "priority": st.integers(2, 12), "level": st.just("digital"),
    }),
    Kind.CONSULTATION: st.fixed_dictionaries(
        {"asked_by": st.sampled_from(STAFF)},
        optional={"priority": st.integers(2, 12), "about": st.just("c-0")},
    ),
}  # fmt: skip
