"""Versions of directory and policy: listed, shown, compared and put back, on a real Postgres (contract §7, §8)."""

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from conftest import write_files
from samples import DIRECTORY, EAST, NORTH, POLICY, opened
from test_roles import login_of
from test_slot_commands import a_slot, book, done, listed, refused
from typer.testing import CliRunner

from activities.directory import Rules
from activities.postgres.pool import open_pool
from activities.records import Records
from activities.slots import LeftOut
from omhand.cli import app
from workers.load import LoadError, store
from workers.migrate import schema_fault
from workers.rule_files import read_files, toml_of
from workers.rule_versions import list_versions, restore

NINE = "hc01-20261124-0900"
EASTERN = DIRECTORY[DIRECTORY.index(f'[[unit]]\nid = "{EAST}"') : DIRECTORY.index("[[staff]]")]
WITHOUT_EAST = DIRECTORY.replace(EASTERN, "").replace(f', "{EAST}"', "")
HASTY = POLICY.replace('due = "PT30M"', 'due = "PT20M"')


@pytest.fixture
def of_database(dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The commands are for this database, in which version 1 has been loaded."""
    monkeypatch.setenv("OMHAND_DATABASE_URL", dsn)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    return dsn


def load(directory: str = DIRECTORY, policy: str = POLICY) -> int:
    """Load these; the version."""
    said: dict[str, Any] = json.loads(done("load", *files_of(directory, policy), "--json"))
    return int(said["version"])


def files_of(directory: str = DIRECTORY, policy: str = POLICY) -> list[str]:
    """Both files, as options of a command."""
    Path("d.toml").write_text(directory, encoding="utf-8")
    Path("p.toml").write_text(policy, encoding="utf-8")
    return ["--directory", "d.toml", "--policy", "p.toml"]


def rows() -> list[dict[str, Any]]:
    """The versions, as programs are told of them."""
    said: list[dict[str, Any]] = json.loads(done("policy", "list", "--json"))
    return said


def lines(*words: str) -> list[str]:
    """What a command says, line by line."""
    return done(*words).splitlines()


def test_versions_are_listed_and_one_that_was_put_back_is_a_new_one_that_says_so(of_database: str) -> None:
    load(policy=HASTY)
    assert lines("policy", "restore", "1") == ["version 3 is in force for new cases, and says what version 1 said"]
    assert [(row["version"], row["restores"], row["in_force"]) for row in rows()] == [
        (3, 1, True), (2, None, False), (1, None, False),
    ]  # fmt: skip
    newest, _, oldest = lines("policy", "list")
    assert newest.startswith("    3  20")
    assert newest.endswith("  in force, puts version 1 back")
    assert oldest.startswith("    1  20")
    assert current(of_database) == (3, "PT30M")


def current(dsn: str) -> tuple[int, str]:
    """The version that a new case would get, and what its first ladder says is due."""

    async def ask() -> tuple[int, str]:
        async with open_pool(dsn, most=1) as pool:
            region = await Rules(pool).current()
            due = region.policy.ladder[0].due
            return region.version, f"PT{due.seconds // 60}M"

    return asyncio.run(ask())


def test_what_is_in_force_already_is_not_put_back_again(of_database: str) -> None:
    said = json.loads(done("policy", "restore", "1", "--json"))
    assert said == {"version": 1, "restores": 1, "slots": {"withdrawn": [], "kept": []}}
    load(policy=HASTY)
    done("policy", "restore", "1")
    assert json.loads(done("policy", "restore", "1", "--json"))["version"] == 3
    assert len(rows()) == 3
    assert current(of_database)[0] == 3


@pytest.mark.usefixtures("of_database")
def test_a_version_is_shown_as_files_that_can_be_loaded_again() -> None:
    load(WITHOUT_EAST, HASTY)
    Path("shown").mkdir()
    for part in ("directory", "policy"):
        Path("shown", part).write_text(done("policy", "show", "1", f"--{part}"), encoding="utf-8")
    files = read_files(Path("shown", "directory"), Path("shown", "policy"))
    assert files == read_files(*map(Path, files_of()[1::2]))
    both = json.loads(done("policy", "show", "--json"))
    assert (both["version"], both["policy"]["ladder"][0]["due"]) == (2, "PT20M")
    assert both["directory"] == json.loads(done("policy", "show", "2", "--directory", "--json"))["directory"]
    said = done("policy", "show")
    assert said.index("# version 2: directory.toml") < said.index("# version 2: policy.toml")


def test_whatever_stands_in_a_file_can_be_written_and_read_again(root: Path) -> None:
    for name in ("directory", "policy"):
        path = root / "examples" / f"{name}.toml"
        directory, policy = root / "examples" / "directory.toml", root / "examples" / "policy.toml"
        told = getattr(read_files(directory, policy), name)
        assert tomllib.loads(toml_of(told)) == told, path
    odd = {"name": 'a "b" \\ \x7f \x01 å 𝄞', "empty": {}, "table": {"on": True, "none": []}, "list": [{"n": {"a": 1}}]}
    assert tomllib.loads(toml_of(odd)) == odd


@pytest.mark.usefixtures("of_database")
def test_the_version_in_force_is_compared_with_the_one_before_or_any_with_any() -> None:
    load(policy=HASTY)
    load(WITHOUT_EAST, HASTY)
    assert lines("policy", "diff", "1", "2") == [
        "from version 1 to version 2:",
        "~ ladder phase waiting: due: PT30M -> PT20M",
    ]
    latest = lines("policy", "diff")
    assert latest[:3] == [
        "from version 2 to version 3:",
        f"~ unit {NORTH} (Hälsocentral Norr): cooperates_with: without {EAST}",
        f"- unit {EAST} (Hälsocentral Öst)",
    ]
    assert "    phone +46701740603" in latest
    said = json.loads(done("policy", "diff", "3", "1", "--json"))
    assert (said["old"], said["new"]) == (3, 1)
    assert next((each["what"], each["key"], each["after"]) for each in said["changes"]) == (
        "unit", "cooperates_with", ["SE2321000198-HC02", EAST],
    )  # fmt: skip
    assert lines("policy", "diff", "3", "3") == ["version 3 and version 3 say the same"]


@pytest.mark.usefixtures("of_database")
def test_what_loading_files_would_change_is_told_and_nothing_is_stored() -> None:
    assert lines("policy", "diff", *files_of(policy=HASTY)) == [
        "from version 1 to these files:",
        "~ ladder phase waiting: due: PT30M -> PT20M",
    ]
    assert lines("policy", "diff", *files_of()) == ["version 1 and these files say the same"]
    assert json.loads(done("policy", "diff", *files_of(), "--json")) == {"old": 1, "new": None, "changes": []}
    faulty = refused("policy", "diff", *files_of(policy=POLICY.replace('"always"', '"sundial"', 1)))
    assert (faulty["code"], faulty["message"][:26]) == ("InvalidFiles", "p.toml: ladder.0.clock: In")
    assert len(rows()) == 1


@pytest.mark.usefixtures("of_database")
def test_versions_that_there_are_not_are_refused_and_bad_usage_is_told() -> None:
    assert refused("policy", "show", "7") == {
        "code": "NoSuchVersion", "message": "there is no version 7 of directory and policy",
    }  # fmt: skip
    for words in (("restore", "7"), ("diff", "1", "7"), ("diff", "7", "1"), ("diff",)):
        assert refused("policy", *words)["code"] == "NoSuchVersion"
    assert refused("policy", "diff")["message"] == "version 1 is the first: there is none before it to compare it with"
    for words in (("restore",), ("restore", "0"), ("show", "x"), ("diff", "1", *files_of()), ("diff", *files_of()[:2])):
        assert CliRunner().invoke(app, ["policy", *words]).exit_code == 2, words


def test_before_anything_has_been_loaded_there_is_no_version(unruled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMHAND_DATABASE_URL", unruled)
    assert done("policy", "list") == ""
    assert refused("policy", "show")["message"] == "no directory and policy have been loaded yet: run `omhand load`"


def test_a_directory_without_a_unit_that_open_cases_need_is_not_put_back(of_database: str) -> None:  # H3
    load(WITHOUT_EAST)
    load()
    record(of_database, "c1")
    assert refused("policy", "restore", "2") == {
        "code": "InvalidFiles",
        "message": f"directory: unit {EAST}: is left out, and 1 open cases need it",
    }
    assert len(rows()) == 3


def record(dsn: str, case_id: str) -> None:
    """A case of the eastern unit is opened."""

    async def write() -> None:
        async with open_pool(dsn, most=1) as pool:
            await Records(pool, Rules(pool)).record(opened(case_id, unit=EAST))

    asyncio.run(write())


async def test_a_version_in_which_this_program_finds_faults_is_not_put_back(dsn: str, files: tuple[Path, Path]) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "update omhand.rules set directory = jsonb_set(directory, '{timezone}', '\"Europe/Nowhere\"')"
    )
    await connection.close()
    await store(dsn, *files)
    with pytest.raises(LoadError, match=r"^directory: timezone: there is no such time zone"):
        await restore(dsn, 1)


def test_rules_are_put_back_and_bookable_times_stay_as_they_are(of_database: str) -> None:  # P2
    # Version 1 has NINE. What has become of times since is not undone: some are withdrawn, booked, moved or new.
    load(DIRECTORY.replace("[[slot]]", a_slot("held") + a_slot("hand") + "[[slot]]"))
    book(of_database, "c1", "held")
    done("slots", "withdraw", "hand")
    newest = WITHOUT_EAST.split("[[slot]]")[0] + a_slot("held") + a_slot("hand") + a_slot("new")
    load(newest, HASTY)
    before = listed("--all")
    said = json.loads(done("policy", "restore", "1", "--json"))
    assert said["slots"] == {"withdrawn": [], "kept": []}
    assert listed("--all") == before == ["held", "new"]
    shown = json.loads(done("policy", "show", "--directory", "--json"))["directory"]
    assert [slot["id"] for slot in shown["slot"]] == ["held", "hand", "new"]
    assert {unit["id"] for unit in shown["unit"]} >= {EAST}
    # What was put back can be loaded again as it is: it says what is in force.
    Path("back.toml").write_text(done("policy", "show", "--directory"), encoding="utf-8")
    Path("p.toml").write_text(POLICY, encoding="utf-8")
    again = json.loads(done("load", "--directory", "back.toml", "--policy", "p.toml", "--json"))
    assert (again["version"], again["slots"]["published"]) == (4, [])


@pytest.mark.usefixtures("of_database")
def test_times_of_a_unit_that_the_earlier_directory_has_not_are_withdrawn() -> None:  # P2 H3
    load(WITHOUT_EAST)
    load(DIRECTORY.replace("[[slot]]", a_slot("theirs", unit=EAST) + "[[slot]]"))
    Path("times.toml").write_text(a_slot("by-hand", unit=EAST) + a_slot("ours"), encoding="utf-8")
    done("slots", "publish", "times.toml")
    said = json.loads(done("policy", "restore", "2", "--json"))
    assert said["slots"] == {"withdrawn": ["by-hand", "theirs"], "kept": []}
    assert listed("--all") == [NINE, "ours"]
    # And back: they do not come again unseen.
    done("policy", "restore", "3")
    assert listed("--all") == [NINE, "ours"]


async def test_two_that_change_the_rules_at_once_take_turns(dsn: str, files: tuple[Path, Path]) -> None:
    files[1].write_text(HASTY, encoding="utf-8")
    await store(dsn, *files)
    assert [done.version for done in await asyncio.gather(restore(dsn, 1), restore(dsn, 1))] == [3, 3]
    connection = await asyncpg.connect(dsn)
    assert await connection.fetch("select version, restores from omhand.rules order by 1") == [
        (1, None),
        (2, None),
        (3, 1),
    ]
    await connection.close()


async def test_the_workers_login_sees_what_the_schema_serves_and_puts_rules_back(
    dsn: str, files: tuple[Path, Path]
) -> None:
    files[1].write_text(HASTY, encoding="utf-8")
    await store(dsn, *files)
    async with login_of(dsn, "omhand_worker") as worker:
        assert await schema_fault(worker) is None
        assert (await restore(worker, 1)).version == 3
        assert [each.restores for each in await list_versions(worker)] == [1, None, None]


async def test_a_held_time_of_a_profession_that_the_earlier_directory_has_not_stays_until_it_is_free(
    dsn: str, tmp_path: Path
) -> None:  # P2 H3
    without = DIRECTORY.replace('[[profession]]\nname = "medical_secretary"\nclinical = false\n', "")
    without = without.replace(', "medical_secretary"', "")
    clerk = without.index('[[staff]]\nid = "SE2321000198-S3"')
    without = without[:clerk] + without[without.index("[[slot]]") :]
    clerks = a_slot("clerks").replace('"nurse"', '"medical_secretary"')
    for directory in (without, DIRECTORY.replace("[[slot]]", clerks + "[[slot]]")):
        await store(dsn, *write_files(tmp_path, directory))
    connection = await asyncpg.connect(dsn)
    await connection.execute("update omhand.slots set case_id = 'c1' where slot_id = 'clerks'")
    assert (await restore(dsn, 2)).left_out == LeftOut(kept=("clerks",))
    assert await connection.fetchval("select leaves_when_freed from omhand.slots where slot_id = 'clerks'")
    await connection.close()
