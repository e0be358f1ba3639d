"""To whom a notification goes, and in what words (K1f, R1): Swedish, local time, nothing about the patient."""

from datetime import UTC
from typing import Any

import pytest
from small_region import (
    DOCTOR_NORTH,
    NORTH,
    OPENING,
    SOUTH,
    STOCKHOLM,
    Told,
    a_unit,
    local,
    on,
    region,
    told,
)  # fmt: skip

from decisions.effects import Notice
from decisions.notices import ACCEPTED_WORDS, KIND_WORDS, REASON_WORDS, address, text
from omhand.contract.directory import Unit
from omhand.contract.names import Channel, Kind, Phase, Reason


def a_notice(**changed: Any) -> Notice:
    return Notice.model_validate({
        "key": "c-1/2", "case_id": "c-1", "reason": "new_case", "unit": NORTH, "to": "unit", "kind": "drop_in_visit",
        "priority": 3, "profession": "doctor", "phase": "waiting", "due_at": local("2026-11-23 09:30"),
        "until_taken": True, **changed,
    })  # fmt: skip


def unit_with(**manager: str) -> Unit:
    return Unit.model_validate(
        a_unit(NORTH, ["doctor"], on(("mon",), "08:00-17:00"), name="Hälsocentral Norr", phone="+46701740605")
        | {"manager": {"name": "Chef", **manager}}
    )


BOTH_WAYS = unit_with(phone="+46701740606", email="chef@example.org")


@pytest.mark.parametrize(
    ("to", "unit", "channel", "recipient"),
    [
        ("unit", BOTH_WAYS, Channel.PHONE, "+46701740605"),
        ("manager", BOTH_WAYS, Channel.PHONE, "+46701740606"),
        ("manager", unit_with(email="chef@example.org"), Channel.EMAIL, "chef@example.org"),
        ("manager_by_email", BOTH_WAYS, Channel.EMAIL, "chef@example.org"),
        ("manager_by_email", unit_with(phone="+46701740606"), Channel.EMAIL, ""),
        ("unit", None, Channel.PHONE, ""),
    ],
)
def test_it_goes_to_the_units_phone_or_to_its_manager(
    to: str, unit: Unit | None, channel: Channel, recipient: str
) -> None:
    # K1f R1
    reached = address(a_notice(to=to), unit)
    assert (reached.channel, reached.recipient) == (channel, recipient)


def test_it_says_why_what_how_urgent_by_when_and_where() -> None:
    assert text(a_notice(), BOTH_WAYS, STOCKHOLM) == (
        "Nytt ärende att ta om hand: drop in-besök, prio 3, senast 2026-11-23 09:30, Hälsocentral Norr. Ärende c-1."
    )


def test_its_times_are_local_and_in_summer_too() -> None:
    said = text(a_notice(due_at=local("2026-07-01 09:30")), BOTH_WAYS, STOCKHOLM)
    assert "senast 2026-07-01 09:30" in said
    assert "07:30" in text(a_notice(due_at=local("2026-07-01 09:30")), BOTH_WAYS, UTC)


def test_what_a_case_does_not_have_is_left_out() -> None:
    said = text(a_notice(priority=None, due_at=None), None, STOCKHOLM)
    assert said == f"Nytt ärende att ta om hand: drop in-besök, {NORTH}. Ärende c-1."


@pytest.mark.parametrize("reason", [Reason.NEW_CASE, Reason.REMINDER])
def test_a_reminder_of_an_accepted_case_says_that_somebody_has_it(reason: Reason) -> None:
    said = text(a_notice(reason=reason, phase=Phase.ACCEPTED), BOTH_WAYS, STOCKHOLM)
    assert said.startswith(ACCEPTED_WORDS)
    alert = text(a_notice(reason=Reason.MANAGER_ALERT, phase=Phase.ACCEPTED), BOTH_WAYS, STOCKHOLM)
    assert alert.startswith(REASON_WORDS[Reason.MANAGER_ALERT])


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("phase", Phase)
def test_every_reason_and_every_kind_has_words(reason: Reason, kind: Kind, phase: Phase) -> None:
    said = text(a_notice(reason=reason, kind=kind, phase=phase), BOTH_WAYS, STOCKHOLM)
    assert KIND_WORDS[kind] in said
    assert said.endswith("Ärende c-1.")
    assert len(said) <= 300


def test_no_two_reasons_have_the_same_words() -> None:
    assert len(set(REASON_WORDS.values())) == len(Reason)
    assert len(set(KIND_WORDS.values())) == len(Kind)


def test_nothing_about_the_patient_is_ever_said(story: Told) -> None:
    story.until("2026-11-24 12:00").may("accept", DOCTOR_NORTH).until("2026-11-24 17:00")
    secrets = (OPENING["patient"]["id"], OPENING["patient"]["name"], OPENING["reason"], "1912", "Tolvan")
    told_ = [text(notice, region().units.get(notice.unit), STOCKHOLM) for notice in story.notices]
    everything = " ".join([*told_, *(notice.model_dump_json() for notice in story.notices)])
    assert len(told_) > 5
    assert not any(secret in everything for secret in secrets)


def test_nothing_about_the_patient_is_in_the_log_or_in_the_view() -> None:
    story = told(region()).until("2026-11-23 10:00")
    shown = story.view().model_dump_json() + story.case.model_dump_json()
    assert not any(secret in shown for secret in ("191212121212", "Tolvan", "ont i magen"))
    assert SOUTH in shown
