"""``omhand slots`` and what ``omhand load`` says of times, on a real Postgres (P2; contract §8)."""

import asyncio
import json
from pathlib import Path

import pytest
from bookings import visit
from conftest import write_files
from samples import DIRECTORY, EAST, NORTH, NOWHERE, SOUTH
from typer.testing import CliRunner

from activities.directory import Rules
from activities.postgres.pool import open_pool
from activities.records import Records
from activities.slots import find_slot
from omhand.cli import app

NINE = "hc01-20261124-0900"
AHEAD, PAST = "2090-05-02T09:00:00+02:00", "2020-05-02T09:00:00+02:00"


def a_slot(slot_id: str, unit: str = NORTH, starts_at: str = AHEAD, length: str = "PT20M") -> str:
    """A time as the file has it."""
    return f"""
[[slot]]
id = "{slot_id}"
unit = "{unit}"
profession = "nurse"
starts_at = {starts_at}
length = "{length}"
"""


@pytest.fixture
def of_database(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The commands are for this database, and have nobody else to speak to."""
    monkeypatch.setenv("OMHAND_DATABASE_URL", dsn)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    return dsn


def done(*words: str) -> str:
    """What a command says that has succeeded."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def refused(*words: str) -> dict[str, str]:
    """What a command says, for programs, that was refused."""
    result = CliRunner().invoke(app, [*words, "--json"])
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    said: dict[str, str] = json.loads(result.stderr)
    return said


def file_of(*slots: str) -> str:
    """A file of times."""
    path = Path("times.toml")
    path.write_text("\n".join(slots), encoding="utf-8")
    return str(path)


def book(dsn: str, case_id: str, slot: str) -> None:
    """A case holds a time."""

    async def write() -> None:
        async with open_pool(dsn, most=2) as pool:
            step = visit(case_id, slot=slot, found=await find_slot(pool, slot))
            answer = await Records(pool, Rules(pool)).record(step)
            assert answer.slot_fault is None

    asyncio.run(write())


def listed(*words: str) -> list[str]:
    """The ids of the times that are listed."""
    return [row["slot_id"] for row in json.loads(done("slots", "list", *words, "--json"))]


@pytest.mark.usefixtures("of_database")
def test_published_times_are_listed_as_they_were_given() -> None:  # P2
    given = file_of(a_slot("later", starts_at="2090-05-02T10:00:00+02:00"), a_slot("first"), a_slot("south", SOUTH))
    assert json.loads(done("slots", "publish", given, "--json")) == {
        "published": ["later", "first", "south"],
        "unchanged": [],
    }
    # The directory's own of 2026 may have passed when this is read.
    assert [each for each in listed() if each != NINE] == ["first", "south", "later"]
    assert listed("--unit", SOUTH, "--profession", "nurse") == ["south"]
    assert listed("--profession", "dentist") == []
    (row,) = json.loads(done("slots", "list", "--unit", SOUTH, "--json"))
    assert row == {
        "slot_id": "south",
        "unit_id": SOUTH,
        "profession": "nurse",
        "starts_at": "2090-05-02T07:00:00Z",
        "length": "P0DT1200S",
        "is_free": True,
    }
    shown = done("slots", "list")
    assert "first" in shown
    assert "held" not in shown


def test_held_and_past_times_are_listed_where_all_are_asked_for(of_database: str) -> None:  # P2
    done("slots", "publish", file_of(a_slot("mine", EAST), a_slot("past", EAST, PAST), a_slot("free", EAST)))
    book(of_database, "c1", "mine")
    assert listed("--unit", EAST) == ["free"]
    assert sorted(listed("--unit", EAST, "--all")) == ["free", "mine", "past"]
    assert "held" in done("slots", "list", "--all")


@pytest.mark.usefixtures("of_database")
def test_publishing_again_says_what_has_changed() -> None:  # P2
    done("slots", "publish", file_of(a_slot("s1"), a_slot("s2")))
    again = file_of(a_slot("s1"), a_slot("s2", length="PT40M"), a_slot("s3"))
    assert done("slots", "publish", again) == "slots bookable from now on: s2, s3\nslots bookable as before: s1\n"


def test_every_fault_of_a_file_is_told_with_its_place_and_nothing_is_published(of_database: str) -> None:  # P2
    done("slots", "publish", file_of(a_slot("mine")))
    book(of_database, "c1", "mine")
    broken = file_of(
        a_slot("s1", length="20 min"),
        a_slot("s2", NOWHERE),
        a_slot("s3").replace('"nurse"', '"dentist"'),
        a_slot("s4", length="PT0S"),
        a_slot("s5"),
        a_slot("s5"),
        a_slot("s6").replace("starts_at", "starts"),
    )
    said = refused("slots", "publish", broken)
    assert said["code"] == "InvalidFiles"
    starts = [
        "times.toml: slot.0.length: must be a duration of ISO 8601 (PT30M) (slot s1)",
        "times.toml: slot.6.starts_at: is required (slot s6)",
        "times.toml: slot.6.starts: there is no such key here (slot s6)",
        "times.toml: slot s5: stands 2 times",
        f"times.toml: slot s2.unit: there is no unit {NOWHERE}",
        "times.toml: slot s3.profession: there is no profession dentist",
        "times.toml: slot s4.length: must be longer than nothing",
    ]
    assert said["message"].splitlines() == starts
    # A held one is looked at when nothing else is wrong.
    said = refused("slots", "publish", file_of(a_slot("s1"), a_slot("mine", length="PT40M")))
    assert said["message"] == (
        "times.toml: slot mine: is changed, and case c1 holds it: move or cancel that visit first"
    )
    assert sorted(listed("--all")) == sorted([NINE, "mine"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "slot: is required"),
        ("slot = []", "slot: Tuple should have at least 1 item"),
        ("slot = 3", "slot: Input should be a valid tuple"),
        ("[[slot]", "is not TOML: "),
        (a_slot("s1") + "[[unit]]\n", "unit: there is no such key here"),
    ],
)
@pytest.mark.usefixtures("of_database")
def test_file_that_is_none_of_times_is_told(text: str, fault: str) -> None:
    assert refused("slots", "publish", file_of(text))["message"].startswith(f"times.toml: {fault}")


@pytest.mark.usefixtures("of_database")
def test_times_cannot_be_published_before_there_is_a_directory(unruled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMHAND_DATABASE_URL", unruled)
    said = refused("slots", "publish", file_of(a_slot("s1")))
    assert said == {"code": "InvalidFiles", "message": "no directory has been loaded yet: run `omhand load`"}


def test_withdrawn_time_is_listed_no_more_and_a_held_or_unknown_one_is_refused(of_database: str) -> None:  # P2
    done("slots", "publish", file_of(a_slot("s1"), a_slot("mine")))
    book(of_database, "c1", "mine")
    assert json.loads(done("slots", "withdraw", "s1", "--json")) == {"withdrawn": "s1"}
    assert sorted(listed("--all")) == sorted([NINE, "mine"])
    assert done("slots", "withdraw", NINE) == "it is not bookable any more\n"
    assert refused("slots", "withdraw", "mine") == {
        "code": "SlotTaken",
        "message": "case c1 holds it: move or cancel that visit first",
    }
    for gone in ("s1", "never"):
        assert refused("slots", "withdraw", gone)["code"] == "UnknownSlot"


def test_load_says_what_becomes_of_times(of_database: str, tmp_path: Path) -> None:  # P2
    files = write_files(tmp_path, directory=DIRECTORY + a_slot("held") + a_slot("left"))
    words = ["load", "--directory", str(files[0]), "--policy", str(files[1])]
    assert json.loads(done(*words, "--json")) == {
        "version": 2,
        "slots": {"published": ["held", "left"], "stay_withdrawn": [], "withdrawn": [], "kept": []},
    }
    book(of_database, "c1", "held")
    done("slots", "withdraw", NINE)
    write_files(tmp_path, directory=DIRECTORY + a_slot("new"))
    assert done(*words).splitlines() == [
        "version 3 is in force for new cases",
        "slots bookable from now on: new",
        f"slots withdrawn by hand, and stay so until they are published with `omhand slots`: {NINE}",
        "slots withdrawn, as the directory has them, their unit or their profession no more: left",
        "slots kept, as cases hold them, though the directory has them no more: held",
    ]
