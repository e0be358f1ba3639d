"""Loading a directory and a policy: every fault is told with its place, and nothing is stored where there is one."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from samples import DIRECTORY, EAST, NORTH, NOWHERE, POLICY, opened

from activities.records import Records
from decisions.canary import CANARY_NURSE, CANARY_UNIT, canary_id
from workers.load import LoadError, check_files, has_rules, load
from workers.rule_versions import restore

Files = tuple[Path, Path]

IN_DIRECTORY: list[tuple[str, str, str]] = [
    # what stands in the file, what stands there instead, how the fault begins
    ('timezone = "Europe/Stockholm"', 'timezone = "Europe/Storstad"', "timezone: there is no such time zone"),
    ('timezone = "Europe/Stockholm"', 'timezone = "Europe"', "timezone: there is no such time zone"),
    ('timezone = "Europe/Stockholm"', 'timezone = "../etc/passwd"', "timezone: there is no such time zone"),
    ('timezone = "Europe/Stockholm"', "", "timezone: is required"),
    ('holidays = "SE"', 'holidays = "XX"', "holidays: no holidays are known"),
    ('holidays = "SE"', "holidays = 46", "holidays: "),
    ('region = "21"', 'region = "211"', r"region: must match ^\d{2}$"),
    ('region = "21"', 'county = "21"', "county: there is no such key here"),
    ('code = "SSK"', "code = 7", "profession.0.code: "),
    ("clinical = true", "", "profession.0.clinical: is required (profession nurse)"),
    ("clinical = true", 'clinical = "yes"', "profession.0.clinical: "),
    ('name = "medical_secretary"', 'name = "Medical secretary"', "profession.1.name: must match"),
    ('name = "medical_secretary"', 'name = "nurse"', "profession nurse: stands 2 times"),
    (f'id = "{NORTH}"', 'id = "HC01"', "unit.0.id: must match"),
    (f'id = "{EAST}"', f'id = "{CANARY_UNIT}"', f"unit {CANARY_UNIT}.id: is the canaries' own"),
    (
        'id = "SE2321000198-S2"',
        f'id = "{CANARY_NURSE["staff"]}"',
        f"staff {CANARY_NURSE['staff']}.id: is the canaries'",
    ),
    (f'id = "{EAST}"', f'id = "{NORTH}"', f"unit {NORTH}: stands 2 times"),
    ('name = "Hälsocentral Norr"', 'name = ""', f"unit.0.name: String should have at least 1 character (unit {NORTH})"),
    ('kind = "health_centre"', 'kind = "hospital"', "unit.0.kind: "),
    ('phone = "+46701740601"', "", f"unit.0.phone: is required (unit {NORTH})"),
    ('phone = "+46701740601"', 'phone = "0701740601"', "unit.0.phone: "),
    ("mon = [", "monday = [", "unit.0.opening.monday.[key]: "),
    ('"08:00-12:00"', '"8-12"', "unit.0.opening.mon.0: must be HH:MM-HH:MM"),
    ('"08:00-12:00"', '"12:00-08:00"', "unit.0.opening.mon.0: must start before it ends"),
    ('"08:00-12:00"', '"08:00-25:00"', "unit.0.opening.mon.0: must be HH:MM-HH:MM"),
    ('"08:00-12:00"', '"08:00-14:00"', "unit.0.opening.mon: two times of the day overlap"),
    ('sat = ["10:00-18:00"]', "sat = 10", "unit.0.on_call.sat: "),
    (', email = "norr@example.org"', ', email = "norr"', "unit.0.manager.email: "),
    (', email = "ost@example.org"', "", f"unit {EAST}.manager: needs a phone or an email"),
    ('phone = "+46701740701", ', 'phone = "112", ', "unit.0.manager.phone: "),
    (f'cooperates_with = ["{NORTH}"]', f'cooperates_with = ["{NOWHERE}"]', "unit SE2321000198-HC02.cooperates_with: "),
    (f'cooperates_with = ["{NORTH}"]', 'cooperates_with = ["SE2321000198-HC02"]', "unit SE2321000198-HC02.cooperates_"),
    ('professions = ["nurse"]', 'professions = ["doctor"]', "unit SE2321000198-HC02.professions: there is no"),
    ('name = "Sköterska Norr"', "", "staff.0.name: is required (staff SE2321000198-S1)"),
    ('id = "SE2321000198-S2"', 'id = "SE2321000198-S1"', "staff SE2321000198-S1: stands 2 times"),
    (f'unit = "{NORTH}"', f'unit = "{NOWHERE}"', "staff SE2321000198-S1.works_at.0.unit: there is no unit"),
    ('profession = "nurse" }]', 'profession = "doctor" }]', "staff SE2321000198-S1.works_at.0.profession: there is"),
    ("starts_at = 2026-11-24T09:00:00+01:00", "starts_at = 2026-11-24T09:00:00", "slot.0.starts_at: "),
    ("starts_at = 2026-11-24T09:00:00+01:00", "starts_at = 2026-11-24", "slot.0.starts_at: must be a time of RFC 3339"),
    ('length = "PT20M"', "length = 20", "slot.0.length: must be a duration of ISO 8601 (PT30M)"),
    ('length = "PT20M"', 'length = "PT0S"', "slot hc01-20261124-0900.length: must be longer than nothing"),
    ("[[slot]]", "[slot]", "slot: "),
    ("[[slot]]", "[[slot]", "is not TOML: "),
    ('region = "21"', 'region = "21"\nregion = "22"', "is not TOML: Cannot overwrite a value (at line 5"),
]
"""Faults of the directory, each as one change of a good one."""

IN_POLICY: list[tuple[str, str, str]] = [
    ('{ after = "PT15M"', '{ after = "15 min"', "ladder.0.steps.1.after: must be a duration of ISO 8601 (PT30M)"),
    ('{ after = "PT15M"', "{ after = 900", "ladder.0.steps.1.after: must be a duration of ISO 8601 (PT30M)"),
    ('{ after = "PT15M"', '{ after = "PT45M"', "ladder.0: steps must stand in the order of `after`"),
    ('{ after = "PT0S", do = "notify" },', '{ do = "notify" },', "ladder.0.steps.0.after: is required"),
    ('do = "offer", to = "cooperating"', 'do = "offer"', "ladder.0.steps.2: an offer needs `to`"),
    ('to = "cooperating"', 'to = "everybody"', "ladder.0.steps.2.to: "),
    ('"PT60M", do = "alert_manager"', '"PT60M", do = "alert_manager", to = "on_call"', "ladder.0.steps.3: `to` and"),
    ('"PT60M", do = "alert_manager"', '"PT60M", do = "call_a_friend"', "ladder.0.steps.3.do: "),
    ('due = "PT30M"', "", "ladder.0.due: is required"),
    ('due = "PT30M"', 'due = "P1Y"', "ladder.0.due: must be a duration"),
    ('clock = "always"', 'clock = "sundial"', "ladder.0.clock: "),
    ('phase = "waiting"', 'phase = "dozing"', "ladder.0.phase: "),
    ('phase = "waiting"', 'phase = "waiting"\npriority = []', "ladder.0.priority: "),
    ('phase = "waiting"', 'phase = "waiting"\npriority = [1]', "ladder.0.priority.0: "),
    ('phase = "waiting"', 'phase = "waiting"\npriority = 3', "ladder.0.priority: "),
    ('phase = "waiting"', 'phase = "waiting"\nkind = ["drop_in"]', "ladder.0.kind.0: "),
    ('phase = "waiting"', 'phase = "waiting"\norigin = ["fax"]', "ladder.0.origin.0: "),
    ('phase = "waiting"', 'phase = "waiting"\nprofession = ["doctor"]', "ladder.0.profession: there is no profession"),
    ('phase = "waiting"', f'phase = "waiting"\nunit = ["{NOWHERE}"]', "ladder.0.unit: there is no unit"),
    ('phase = "waiting"', 'phase = "waiting"\nkind = ["drop_in_visit"]', "ladder: scheduled_visit has none for its"),
    ('phase = "waiting"', 'phase = "waiting"\npriority = [3]', "ladder: drop_in_visit has none for its phase waiting"),
    ('phase = "message"', 'phase = "ticket"', "ladder: message_thread has none for its phase message"),
    ('every = "PT15M"', 'every = "PT0S"', "ladder.0.repeat.every: "),
    ("at_most = 2", "at_most = 0", "ladder.0.repeat.at_most: "),
    ("at_most = 2", "at_most = true", "ladder.0.repeat.at_most: "),
    ("at_most = 2", "at_most = 2.0", "ladder.0.repeat.at_most: "),
    ('kind = "administrative_case"', 'kind = "chat"', "escalation.off.0.kind: "),
    ("on_call_time = true", 'on_call_time = "yes"', "escalation.off.0.on_call_time: "),
    ("on_call_time = true", "at_night = true", "escalation.off.0.at_night: there is no such key here"),
    (', profession = "nurse", on_call', ', profession = "doctor", on_call', "escalation.off.0.profession: there is no"),
    ('warn_before = "PT30M"', 'warn_before = "-PT30M"', "closing.warn_before: must be a duration"),
    ('offer_to = ["cooperating"]', 'offer_to = ["nobody"]', "closing.offer_to.0: "),
    ("_from = 2026-04-01", '_from = "in April"', "routing.physical_doctor_6_11_to_nurse_from: "),
    ('ticket_valid = "P14D"', 'ticket_valid = "P0D"', "routing.ticket_valid: "),
    ("[routing]", "[rooting]", "rooting: there is no such key here"),
    ("[[ladder]]", "[[ladders]]", "ladders: there is no such key here"),
    ("clock = ", "clock ", "is not TOML: "),
]
"""Faults of the policy, each as one change of a good one."""


def changed(path: Path, old: str, new: str) -> None:
    """Put one fault into a file, where the text stands first."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_files_without_a_fault_have_none(files: Files) -> None:
    assert check_files(*files) == []


@pytest.mark.parametrize(("old", "new", "fault"), IN_DIRECTORY)
def test_fault_in_the_directory_is_told_with_its_place(files: Files, old: str, new: str, fault: str) -> None:
    changed(files[0], old, new)
    faults = check_files(*files)
    assert [each for each in faults if each.startswith(f"directory.toml: {fault}")], faults
    assert [each for each in faults if not each.startswith("directory.toml: ")] == []


@pytest.mark.parametrize(("old", "new", "fault"), IN_POLICY)
def test_fault_in_the_policy_is_told_with_its_place(files: Files, old: str, new: str, fault: str) -> None:
    changed(files[1], old, new)
    faults = check_files(*files)
    assert [each for each in faults if each.startswith(f"policy.toml: {fault}")], faults
    assert [each for each in faults if not each.startswith("policy.toml: ")] == []


def test_one_fault_is_told_once_and_without_what_only_follows_from_it(files: Files) -> None:
    changed(files[0], 'phone = "+46701740601"', "")
    changed(files[1], 'phase = "waiting"', 'phase = "dozing"')
    faults = check_files(*files)
    assert [fault[:30] for fault in faults] == ["directory.toml: unit.0.phone: ", "policy.toml: ladder.0.phase: I"]


def test_all_faults_of_both_files_are_told_at_once(files: Files) -> None:
    directory, policy = files
    changed(directory, 'timezone = "Europe/Stockholm"', 'timezone = "Europe/Storstad"')
    changed(directory, 'phone = "+46701740601"', "")
    changed(directory, '"08:00-12:00"', '"8-12"')
    changed(directory, f'cooperates_with = ["{NORTH}"]', f'cooperates_with = ["{NOWHERE}"]')
    changed(directory, 'id = "SE2321000198-S2"', 'id = "SE2321000198-S1"')
    changed(policy, 'due = "PT30M"', "")
    changed(policy, '{ after = "PT15M"', '{ after = "15 min"')
    changed(policy, ', profession = "nurse", on_call', ', profession = "doctor", on_call')
    changed(policy, 'phase = "message"', 'phase = "ticket"')
    expected = [
        "directory.toml: unit.0.opening.mon.0: ",
        "directory.toml: unit.0.phone: ",
        "directory.toml: timezone: ",
        "directory.toml: staff SE2321000198-S1: ",
        "directory.toml: unit SE2321000198-HC02.cooperates_with: ",
        "policy.toml: ladder.0.due: ",
        "policy.toml: ladder.0.steps.1.after: ",
        "policy.toml: escalation.off.0.profession: ",
        "policy.toml: ladder: message_thread has none for its phase message",
    ]
    faults = check_files(*files)
    assert len(faults) == len(expected), faults
    assert [start for start, fault in zip(expected, faults, strict=True) if not fault.startswith(start)] == [], faults


def test_elements_that_are_no_tables_are_told(files: Files) -> None:
    files[0].write_text('timezone = "UTC"\nprofession = [1]\nunit = ["north"]\n', encoding="utf-8")
    files[1].write_text("ladder = [3]\n", encoding="utf-8")
    assert [fault.partition(": Input")[0] for fault in check_files(*files)] == [
        "directory.toml: profession.0",
        "directory.toml: unit.0",
        "policy.toml: ladder.0",
    ]


def test_file_that_is_missing_is_told_and_the_other_is_checked(files: Files) -> None:
    files[0].unlink()
    changed(files[1], 'due = "PT30M"', "")
    assert check_files(*files) == [
        "directory.toml: cannot be read: No such file or directory",
        "policy.toml: ladder.0.due: is required",
    ]


def test_folder_in_place_of_a_file_is_told(files: Files, tmp_path: Path) -> None:
    assert check_files(tmp_path, files[1]) == [f"{tmp_path.name}: cannot be read: Is a directory"]


def test_file_of_another_encoding_is_told_with_its_line(files: Files) -> None:
    files[0].write_bytes(DIRECTORY.encode("iso-8859-1"))
    line = DIRECTORY[: DIRECTORY.index("ä")].count("\n") + 1
    assert check_files(*files) == [f"directory.toml: line {line}: is not UTF-8"]


def test_file_that_is_nested_without_end_is_told(files: Files) -> None:
    files[1].write_text("ladder = " + "[" * 5000, encoding="utf-8")
    assert check_files(*files) == ["policy.toml: is not TOML: nested too deeply"]


# Storing them


async def versions(dsn: str) -> list[int]:
    """Those that are stored."""
    connection = await asyncpg.connect(dsn)
    try:
        return [row["version"] for row in await connection.fetch("select version from omhand.rules order by version")]
    finally:
        await connection.close()


async def test_first_load_makes_the_first_version(unruled: str, files: Files) -> None:
    assert not await has_rules(unruled)
    assert await load(unruled, *files) == 1
    assert await has_rules(unruled)
    assert await versions(unruled) == [1]


async def test_same_content_makes_no_new_version(dsn: str, files: Files) -> None:
    files[0].write_text("# the same\n" + files[0].read_text(encoding="utf-8"), encoding="utf-8")
    assert await load(dsn, *files) == 1
    assert await versions(dsn) == [1]


@pytest.mark.parametrize("index", [0, 1])
async def test_other_content_makes_a_new_version(dsn: str, files: Files, index: int) -> None:
    changed(files[index], *(('"+46701740601"', '"+46701740699"'), ('"PT30M"', '"PT20M"'))[index])
    assert await load(dsn, *files) == 2
    assert await versions(dsn) == [1, 2]


async def test_going_back_makes_a_new_version(dsn: str, files: Files) -> None:
    changed(files[1], '"PT30M"', '"PT20M"')
    assert await load(dsn, *files) == 2
    changed(files[1], '"PT20M"', '"PT30M"')
    assert await load(dsn, *files) == 3


async def test_an_open_canary_keeps_no_directory_from_being_loaded_or_put_back(
    dsn: str, files: Files, pool: asyncpg.Pool, records: Records
) -> None:
    await records.record(opened(canary_id(datetime.now(UTC))))
    await pool.execute("update omhand.cases set responsible_unit = $1", CANARY_UNIT)
    changed(files[0], '"+46701740601"', '"+46701740699"')
    assert await load(dsn, *files) == 2
    assert (await restore(dsn, 1)).version == 3


async def test_many_who_load_the_same_at_once_make_one_version(unruled: str, files: Files) -> None:
    assert await asyncio.gather(*(load(unruled, *files) for _ in range(4))) == [1, 1, 1, 1]


async def test_nothing_is_stored_where_anything_is_wrong(dsn: str, files: Files) -> None:
    changed(files[0], 'name = "Sköterska Norr"', "")
    changed(files[1], 'due = "PT30M"', "")
    with pytest.raises(LoadError) as caught:
        await load(dsn, *files)
    assert caught.value.faults == (
        "directory.toml: staff.0.name: is required (staff SE2321000198-S1)",
        "policy.toml: ladder.0.due: is required",
    )
    assert str(caught.value) == "\n".join(caught.value.faults)
    assert await versions(dsn) == [1]


async def test_files_are_stored_as_they_were_written(dsn: str, files: Files) -> None:
    # A year and more: written back as a duration it would have years, which the contract does not read.
    files[1].write_text(POLICY.replace('ticket_valid = "P14D"', 'ticket_valid = "P400D"'), encoding="utf-8")
    await load(dsn, *files)
    connection = await asyncpg.connect(dsn)
    stored = await connection.fetchval("select policy #>> '{routing,ticket_valid}' from omhand.rules where version = 2")
    await connection.close()
    assert stored == "P400D"
