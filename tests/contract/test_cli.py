"""How a command is called wrongly, and what it says then: without any server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from omhand.cli import app, service
from omhand.cli.place import DEFAULT_READY, Place, find_place
from omhand.contract.actions import ACTIONS, Action

ROOT = Path(__file__).parents[2]
DIRECTORY, POLICY = ROOT / "examples" / "directory.toml", ROOT / "examples" / "policy.toml"
NOBODY = "127.0.0.1:1"
"""Where no server is."""
BY = "SE2321000198-S001@SE2321000198-HC01:nurse"

SETTINGS = ("OMHAND_", "TEMPORAL_")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of whoever runs the tests, and no `omhand dev` of theirs."""
    for name in list(os.environ):
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("TEMPORAL_ADDRESS", NOBODY)
    monkeypatch.chdir(tmp_path)


def omhand(*words: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, words, input=stdin)


def bad_usage(*words: str, stdin: str | bytes | None = None) -> str:
    result = omhand(*words, stdin=stdin)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr


def refused(*words: str, stdin: str | None = None) -> str:
    result = omhand(*words, stdin=stdin)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    return result.stderr


def ready(folder: Path, **others: str) -> Path:
    path = folder / "ready.json"
    told = {"temporal": NOBODY, "namespace": "dev", "postgres": "postgresql://x@h/d", "keys_file": "/k", "pid": 1}
    path.write_text(json.dumps(told | others), encoding="utf-8")
    return path


SERVING = ("dev", "worker", "migrate", "load", "codec-server", "forget", "doctor")
COMMANDS = ["open", "intake", "show", "worklist", *SERVING, *(name.replace("_", "-") for name in ACTIONS)]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_takes_json(command: str) -> None:
    result = omhand(command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


@pytest.mark.parametrize("command", ["list", "publish", "withdraw"])
def test_every_command_about_times_has_help_and_takes_json(command: str) -> None:
    result = omhand("slots", command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


@pytest.mark.parametrize("command", ["list", "show", "diff", "restore"])
def test_every_command_about_rules_has_help_and_takes_json(command: str) -> None:
    result = omhand("policy", command, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


def test_there_are_no_other_commands_than_these() -> None:
    assert {command.name or command.callback.__name__ for command in app.registered_commands} == set(COMMANDS)
    assert [group.name for group in app.registered_groups] == ["slots", "policy", "keys", "audit"]


@pytest.mark.parametrize(("name", "model"), ACTIONS.items())
def test_every_key_of_an_action_is_an_option(name: str, model: type[Action]) -> None:
    shown = omhand(name.replace("_", "-"), "--help").stdout
    # What stands on a command line can be seen by others: the assertion is OMHAND_ASSERTION.
    keys = set(model.model_fields) - {"by", "assertion"}
    assert all(f"--{key.replace('_', '-')}" in shown for key in keys)


@pytest.mark.parametrize(("name", "model"), ACTIONS.items())
def test_who_may_act_is_what_the_model_says(name: str, model: type[Action]) -> None:
    shown = omhand(name.replace("_", "-"), "--help").stdout
    by = str(model.model_fields["by"].annotation)
    assert ("--patient" in shown) == ("ThePatient" in by)
    assert ("--by " in shown) == ("StaffMember" in by)


@pytest.mark.parametrize(
    "words",
    [
        ["nix"],
        ["accept"],
        ["accept", "c"],
        ["accept", "c", "--patient"],
        ["accept", "c", "--by", BY, "--nix", "1"],
        ["accept", "c", "--by", BY, "d"],
        ["accept", "c d", "--by", BY],
        ["accept", "c", "--by", BY, "--action-id", "x" * 65],
        ["accept", "c", "--by", "SE2321000198-S001"],
        ["accept", "c", "--by", "@SE2321000198-HC01:nurse"],
        ["accept", "c", "--by", "SE2321000198-S001@:nurse"],
        ["accept", "c", "--by", "SE2321000198-S001@SE2321000198-HC01:"],
        ["accept", "c", "--by", "S001@SE2321000198-HC01:nurse"],
        ["accept", "c", "--by", "SE2321000198-S001@SE2321000198-HC01:Nurse"],
        ["cancel", "c", "--reason", "r"],
        ["cancel", "c", "--reason", "r", "--patient", "--by", BY],
        ["refuse", "c", "--by", BY],
        ["hand-over", "c", "--by", BY, "--to-unit", "SE2321000198-HC02", "--ground", "whim"],
        ["hand-over", "c", "--by", BY, "--to-unit", "HC02", "--ground", "misplaced"],
        ["reprioritise", "c", "--by", BY, "--priority", "3.5", "--reason", "r"],
        ["reprioritise", "c", "--by", BY, "--priority", "1", "--reason", "r"],
        ["answer", "c", "--by", BY, "--advice", "a"],
        ["close", "c", "--by", BY, "--outcome", "treated", "--held-as", "letter"],
        ["close", "c", "--by", BY, "--outcome", "cancelled", "--held-as", "video"],
        ["note", "c", "--by", BY, "--text", ""],
        ["message", "c"],
        ["show"],
        ["show", "c\n"],
        ["worklist", "HC01"],
        ["slots", "nix"],
        ["slots", "list", "--unit", "HC01"],
        ["slots", "list", "--profession", "Nurse"],
        ["slots", "publish"],
        ["slots", "publish", "nix.toml"],
        ["slots", "withdraw"],
        ["slots", "withdraw", "x" * 201],
        ["slots", "withdraw", "x\udcff"],
        ["open", "f", "--kind", "nix"],
        ["dev", "--workers", "0"],
        ["dev", "--directory", "nix.toml"],
        ["load"],
        ["load", "--directory", "nix.toml", "--policy", "nix.toml"],
        ["--ready", "nix.json", "show", "c"],
    ],
)
def test_bad_usage_exits_2_and_says_why(words: list[str]) -> None:
    assert "Error: " in bad_usage(*words)


def test_a_wrong_key_is_named_as_the_contract_names_it() -> None:
    told = bad_usage("hand-over", "c", "--by", BY, "--to-unit", "HC02", "--ground", "whim", "--to-staff", "x")
    assert [key in told for key in ("to_unit: ", "to_staff: ", "ground: ")] == [True] * 3


def test_without_a_profession_it_is_said_how_it_would_be_found() -> None:
    told = bad_usage("accept", "c", "--by", "SE2321000198-S001@SE2321000198-HC01")
    assert "STAFF@UNIT:PROFESSION" in told
    assert "OMHAND_DATABASE_URL" in told


def test_a_list_without_a_database_says_which_setting_is_missing() -> None:
    assert "OMHAND_DATABASE_URL: is not set" in bad_usage("worklist", "SE2321000198-HC01")


@pytest.mark.parametrize("setting", ["nix", "postgresql://[", "http://secret@h/d"])
def test_a_bad_database_url_is_named_and_not_quoted(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMHAND_DATABASE_URL", setting)
    for words in (["worklist", "SE2321000198-HC01"], ["slots", "list"], ["migrate"], ["slots", "withdraw", "s"]):
        told = bad_usage(*words)
        assert "OMHAND_DATABASE_URL: is not the URL of a Postgres database" in told
        assert setting not in told


def test_a_key_ring_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMHAND_KEYS_FILE", "nix.keys")
    assert "nix.keys: the key ring cannot be read" in bad_usage("show", "c")


@pytest.mark.parametrize(
    "words",
    [
        ["show", "c"],
        ["accept", "c", "--by", BY],
        ["accept", "c", "--by", BY, "--no-wait"],
        ["message", "c", "--text", "hej"],
    ],
)
def test_a_server_that_is_away_is_said_with_a_code(words: list[str]) -> None:
    assert refused(*words).startswith("ServerAway: Temporal does not answer")
    assert json.loads(refused(*words, "--json"))["code"] == "ServerAway"


def test_a_database_that_is_away_is_said_with_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMHAND_DATABASE_URL", "postgresql://someone:secret@127.0.0.1:1/d")
    told = refused("worklist", "SE2321000198-HC01")
    assert told.startswith("ServerAway: Postgres does not answer")
    assert "secret" not in told


# Files ------------------------------------------------------------------------------------------------------------

OUTCOME = '{"case_id": "c1", "priority": 3}'


@pytest.mark.parametrize("command", ["open", "intake"])
@pytest.mark.parametrize(
    ("content", "line", "fault"),
    [
        ("", None, "nothing in it"),
        ("\n \n", None, "nothing in it"),
        ("hemlig", 1, "is not JSON"),
        ('{"a": 1,\n "b" "hemlig"}', 2, "is not JSON"),
        ('{"a": 1,\n "b": 2,\n', 3, "is not JSON"),
        ("[]", 1, "must be one JSON object"),
        ('"hemlig"', 1, "must be one JSON object"),
        ('{"a": 1, "a": "hemlig"}', 1, "a: given twice"),
        ('{"a": NaN}', 1, "not finite"),
        ('{"a": "hemlig\\ud800"}', 1, "lone surrogate"),
        ('{"a": ' + "9" * 5000 + "}", 1, "must be JSON"),
    ],
)
def test_a_file_that_is_no_json_is_told_by_line_and_fault(
    command: str, content: str, line: int | None, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "f.json"
    path.write_text(content, encoding="utf-8")
    told = bad_usage(command, str(path))
    assert f"{path}: " in told
    assert line is None or f": line {line}: " in told
    assert fault in told
    assert "hemlig" not in told


@pytest.mark.parametrize("content", [b"\xff\xfe{", '{"a": 1}'.encode("utf-16")])
def test_a_file_of_another_encoding_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(content)
    assert "is not UTF-8 text" in bad_usage("intake", str(path))


@pytest.mark.parametrize("path", ["nix.json", "."])
def test_a_file_that_cannot_be_read_is_told(path: str) -> None:
    assert f"{path}: cannot be read" in bad_usage("intake", path)


def test_json_lines_are_all_read_before_the_first_is_sent() -> None:
    told = bad_usage("intake", "-", stdin=f"{OUTCOME}\n\n{OUTCOME}\n{{hemlig\n")
    assert "-: line 4: is not JSON" in told
    assert "hemlig" not in told


def test_one_case_is_opened_at_a_time() -> None:
    assert "-: line 2: holds more than one JSON object" in bad_usage("open", "-", stdin=f"{OUTCOME}\n{OUTCOME}\n")


def test_an_object_over_several_lines_is_one() -> None:
    assert refused("intake", "-", stdin='{\n"case_id":\n"c1"}\n').startswith("ServerAway: ")


@pytest.mark.parametrize("content", ["{}", '{"case_id": 1}', '{"case_id": "hem lig"}', '{"case_id": "a\\n"}'])
@pytest.mark.parametrize("command", ["open", "intake"])
def test_what_can_have_no_workflow_id_is_refused_as_the_workflow_would(command: str, content: str) -> None:
    told = refused(command, "-", stdin=content)
    assert told.startswith("InvalidCase: case_id: ")
    assert "hem" not in told


def test_of_several_outcomes_each_refusal_is_told_with_its_line() -> None:
    told = refused("intake", "-", "--json", stdin='{"case_id": 1}\n{"case_id": 2}\n')
    assert [json.loads(line)["line"] for line in told.splitlines()] == [1, 2]


def test_a_server_that_goes_away_says_from_which_line_on_nothing_was_sent() -> None:
    told = refused("intake", "-", stdin=f"{OUTCOME}\n{OUTCOME}\n")
    assert told.startswith("ServerAway: at line 1, so nothing after it was sent")


# Where it goes ----------------------------------------------------------------------------------------------------


def test_without_anything_the_client_looks_for_itself() -> None:
    assert find_place(None) == Place()


def test_a_ready_file_that_is_named_counts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "elsewhere:7233")
    monkeypatch.setenv("OMHAND_DATABASE_URL", "postgresql://elsewhere/d")
    assert find_place(ready(tmp_path)) == Place(NOBODY, "dev", Path("/k"), "postgresql://x@h/d")


def test_what_the_environment_leaves_out_is_taken_from_the_ready_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEMPORAL_ADDRESS")
    monkeypatch.setenv("OMHAND_DATABASE_URL", "postgresql://mine/d")
    DEFAULT_READY.parent.mkdir(parents=True)
    ready(DEFAULT_READY.parent)
    assert find_place(None) == Place(NOBODY, "dev", Path("/k"), "postgresql://mine/d")


def test_the_same_server_by_its_other_name_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "localhost:1")
    DEFAULT_READY.parent.mkdir(parents=True)
    ready(DEFAULT_READY.parent)
    assert find_place(None).keys_file == Path("/k")


def test_another_server_never_gets_the_keys_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "elsewhere:7233")
    DEFAULT_READY.parent.mkdir(parents=True)
    ready(DEFAULT_READY.parent)
    assert find_place(None) == Place()


@pytest.mark.parametrize("content", ["", "{}", '{"temporal": 1}', "ready {}"])
def test_a_ready_file_that_is_none_is_bad_usage(content: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(content, encoding="utf-8")
    assert f"{path}: " in bad_usage("--ready", str(path), "show", "c")


# What runs from a checkout ----------------------------------------------------------------------------------------


def test_load_checks_the_examples() -> None:
    result = omhand("load", "--directory", str(DIRECTORY), "--policy", str(POLICY), "--check")
    assert (result.exit_code, result.stdout) == (0, "both files are well\n")


def test_load_tells_every_fault(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("[[ladder]]\nphase = 'nix'\n", encoding="utf-8")
    told = refused("load", "--directory", str(DIRECTORY), "--policy", str(path), "--check")
    assert told.startswith("InvalidFiles: ")
    assert len(told.splitlines()) > 1


@pytest.mark.parametrize(
    "words",
    [
        ["migrate"],
        ["load", "--directory", str(DIRECTORY), "--policy", str(POLICY)],
        ["slots", "publish", str(DIRECTORY)],
        ["slots", "withdraw", "s"],
    ],
)
def test_what_needs_a_database_says_so(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "OMHAND_DATABASE_URL: is not set" in bad_usage(*words)
    monkeypatch.setenv("OMHAND_DATABASE_URL", "postgresql://someone:secret@127.0.0.1:1/d")
    told = refused(*words)
    assert told.startswith("ServerAway: Postgres ")
    assert "secret" not in told


@pytest.mark.parametrize(
    ("command", "setting"), [("worker", "OMHAND_DATABASE_URL"), ("codec-server", "OMHAND_KEYS_FILE")]
)
def test_a_server_does_not_start_without_its_settings(command: str, setting: str) -> None:
    assert f"{setting}: missing" in bad_usage(command)


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("workers", "this command runs from a checkout or the image"),
        ("workers.migrate", "this command runs from a checkout or the image"),
        ("alembic", "this command needs the package alembic"),
    ],
)
def test_without_the_package_of_the_workers_it_is_said(
    missing: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_there(_name: str) -> Any:
        raise ModuleNotFoundError(name=missing)

    monkeypatch.setattr(service.importlib, "import_module", not_there)
    assert told in bad_usage("migrate")


@pytest.mark.parametrize(("words", "status"), [(["--help"], 0), (["show", "c"], 1), (["show", "c d"], 2)])
def test_a_process_exits_with_the_status_of_its_command(words: list[str], status: int) -> None:
    command = [sys.executable, "-m", "omhand", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
    assert ended.returncode == status, ended.stderr
    assert bool(ended.stdout) == (status == 0)
    assert "Traceback" not in ended.stderr
