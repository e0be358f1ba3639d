"""Key rings: what a file of keys may hold, how it is rotated, and the commands for it (contract §8)."""

import base64
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from typer.testing import CliRunner, Result

from omhand.cli import app
from omhand.codec import EncryptionCodec, KeyRing, KeyRingError
from omhand.keys import key_part
from omhand.rotation import rotate, stage, use

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def line(key_id: str, key: bytes) -> str:
    return f"{key_id}:{base64.b64encode(key).decode()}\n"


# The key ring


def test_a_ring_is_read_with_its_comments_blank_lines_and_order(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(
        f"\ufeff# of the clinic\r\n\n {line('new', NEW).strip()}  # from May\n{line('old', OLD)}",
        encoding="utf-8",
    )
    assert list(KeyRing.read(path).keys.items()) == [("new", NEW), ("old", OLD)]


SECRET = base64.b64encode(NEW).decode()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the key ring is empty"),
        (f"linking:{SECRET}\n", "nothing but the key 'linking', and that one never encrypts"),
        ("# only\n\n", "the key ring is empty"),
        (f"\n{SECRET}\n", "line 2: not <id>:<base64 of 32 bytes>"),
        (f"a:{SECRET[:-2]}\n", "line 1: what follows the id is not base64"),
        (f"a:{SECRET} {SECRET}\n", "line 1: what follows the id is not base64"),
        (f"a:é{SECRET}\n", "line 1: what follows the id is not base64"),
        (f"a:{SECRET[:40]}\n", "line 1: the key has 30 bytes, not 32"),
        ("a:\n", "line 1: the key has 0 bytes, not 32"),
        (f"{SECRET}:a\n", "line 1: what follows the id is not base64"),
        (f"{SECRET}:{SECRET}\n", "line 1: the key id is not 1 to 64 of"),
        (f":{SECRET}\n", "line 1: the key id is not 1 to 64 of"),
        (f"a:{SECRET}\n# x\na:{SECRET}\n", "line 3: its key id is that of line 1 already"),
    ],
)
def test_a_faulty_ring_is_refused_by_file_and_line(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(KeyRingError) as raised:
        KeyRing.read(path)
    assert str(raised.value).startswith(str(path))
    assert fault in str(raised.value)
    assert SECRET[:8] not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_ring_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(KeyRingError, match=r"keys: .*cannot be read \(No such file"):
        KeyRing.read(tmp_path / "keys")
    (tmp_path / "keys").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KeyRingError, match="not UTF-8"):
        KeyRing.read(tmp_path / "keys")


def test_a_new_ring_is_random_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, second = KeyRing.create(tmp_path / "a"), KeyRing.create(tmp_path / "b")
    assert KeyRing.read(tmp_path / "a") == first
    assert list(first.keys) == [first.encrypting, "linking"]
    assert len({*first.keys.values(), *second.keys.values()}) == 4
    assert first.encrypting != second.encrypting
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_a_file_of_keys_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("mine")
    with pytest.raises(KeyRingError, match="left as it is"):
        KeyRing.create(path)
    assert path.read_text() == "mine"


def test_of_many_makers_of_one_ring_one_wins_and_all_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    made: list[KeyRing] = []

    def make() -> None:
        try:
            made.append(KeyRing.create(path))
        except KeyRingError:
            made.append(KeyRing.read(path))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert all(ring == made[0] for ring in made)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(KeyRingError, match="cannot be written"):
        KeyRing.create(tmp_path / "gone" / "keys")


def test_no_key_is_shown_by_repr() -> None:
    assert "\\x" not in repr(KeyRing({"old": OLD}))


# Any file


ENCODED = st.binary(min_size=32, max_size=32).map(lambda key: base64.b64encode(key).decode())
LINES = st.one_of(
    st.text(max_size=30),
    ENCODED,
    st.builds("{}:{}".format, st.sampled_from(["a", "b", "linking", "-", ""]), ENCODED),
    st.builds("{}:{}".format, ENCODED, st.sampled_from(["a", ""]) | ENCODED),
    st.builds("a:{}{}".format, ENCODED, st.text(max_size=3)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=4).map("\n".join) | st.text(max_size=80))
@example("\ufeff\ufeff")
@example("a:\x00")
def test_any_text_is_a_ring_or_an_error_that_shows_nothing_of_it(text: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "keys"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            ring = KeyRing.read(path)
        except KeyRingError as fault:
            said = str(fault).removeprefix(str(path))
            parts = {part.strip() for line in text.split("\n") for part in key_part(line).split(":")}
            assert not any(part[:8] in said for part in parts if len(part) >= 32)
            assert fault.__cause__ is None  # noqa: PT017 - the same
        else:
            assert all(len(key) == 32 for key in ring.keys.values())
            assert ring.encrypting != "linking"


# The linking key


async def test_the_linking_key_never_encrypts_wherever_it_stands() -> None:
    ring = KeyRing({"linking": NEW, "a": OLD, "b": NEW})
    (sealed,) = await EncryptionCodec(ring).encode([Payload(data=b"x")])
    assert sealed.metadata["encryption-key-id"] == b"a"
    assert [ring.use_of(key) for key in ring.keys] == ["links", "encrypts", "decrypts"]
    assert ring.linking == NEW


def test_a_ring_needs_no_linking_key_and_is_none_of_nothing_else() -> None:
    assert KeyRing({"a": OLD}).linking is None
    with pytest.raises(KeyRingError, match="nothing but the key 'linking', and that one never encrypts"):
        KeyRing({"linking": OLD})


# Rotation


def a_ring(folder: Path, text: str | None = None) -> Path:
    path = folder / "keys"
    path.write_text(text or f"# ours\n\n{line('linking', NEW)}{line('a', OLD)}# older:\n{line('b', NEW)}# end")
    return path


def ids(path: Path) -> list[str]:
    return list(KeyRing.read(path).keys)


def test_a_rotation_puts_a_new_key_first_and_keeps_everything_else(tmp_path: Path) -> None:
    path = a_ring(tmp_path)
    before = path.read_text().split("\n")
    key_id = rotate(path)
    after = path.read_text().split("\n")
    assert after[:2] == before[:2]
    assert after[2].startswith(f"{key_id}:")
    assert after[3:] == before[2:]
    assert KeyRing.read(path).encrypting == key_id
    assert [name.name for name in tmp_path.iterdir()] == ["keys"], "the draft is gone"


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n", "\n# end", "\n  "])
def test_a_staged_key_decrypts_until_it_is_used(tmp_path: Path, end: str) -> None:
    path = a_ring(tmp_path, f"{line('a', OLD)}# b is new\n{line('b', NEW).strip()}{end}")
    key_id = stage(path)
    assert ids(path) == ["a", "b", key_id]
    assert KeyRing.read(path).use_of(key_id) == "decrypts"
    use(path, key_id)
    assert ids(path) == [key_id, "a", "b"]
    use(path, key_id)
    assert ids(path) == [key_id, "a", "b"]
    assert KeyRing.read(path).keys["b"] == NEW
    assert "# b is new\n" in path.read_text()


def test_a_key_in_use_takes_its_comment_along(tmp_path: Path) -> None:
    path = a_ring(tmp_path, f"{line('a', OLD)}{line('b', NEW).strip()}  # from May")
    use(path, "b")
    assert path.read_text().split("\n")[0].endswith("  # from May")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda path: use(path, "linking"), "never encrypts"),
        (lambda path: use(path, "gone"), "there is no key of this id"),
        (lambda path: use(path, ""), "there is no key of this id"),
        (lambda path: rotate(path.with_name("gone")), "cannot be changed \\(No such file"),
    ],
)
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(
    tmp_path: Path, change: Callable[[Path], None], fault: str
) -> None:
    path = a_ring(tmp_path)
    before = path.read_bytes()
    with pytest.raises(KeyRingError, match=fault):
        change(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", [rotate, stage, lambda path: use(path, "a")])
def test_a_faulty_ring_is_not_changed(tmp_path: Path, change: Callable[[Path], object]) -> None:
    path = a_ring(tmp_path, f"{line('a', OLD)}{SECRET}\n")
    with pytest.raises(KeyRingError, match="line 2: not <id>"):
        change(path)
    assert path.read_text() == f"{line('a', OLD)}{SECRET}\n"


def test_the_file_keeps_its_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    real = a_ring(tmp_path / "mounted")
    real.chmod(0o440)
    path = tmp_path / "keys"
    path.symlink_to("mounted/keys")
    key_id = rotate(path)
    assert path.is_symlink()
    assert KeyRing.read(real).encrypting == key_id
    assert stat.S_IMODE(real.stat().st_mode) == 0o440


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_rotation_by_root_leaves_the_file_to_its_owner(tmp_path: Path) -> None:
    path = a_ring(tmp_path)
    os.chown(path, 1234, 4321)
    rotate(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


def test_rotations_at_the_same_time_lose_no_key(tmp_path: Path) -> None:
    path = a_ring(tmp_path)
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(rotate(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert set(ids(path)) == {*made, "linking", "a", "b"}


# The commands


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of whoever runs the tests, and no `omhand dev` of theirs."""
    for name in [name for name in os.environ if name.startswith(("OMHAND_", "TEMPORAL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)
    monkeypatch.chdir(tmp_path)


def keys(*words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words])


def told(*words: str) -> str:
    result = keys(*words)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_a_ring_is_made_rotated_in_two_steps_and_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OMHAND_KEYS_FILE", str(tmp_path / "ring"))
    first = json.loads(told("new", "--json"))
    assert first["does"] == "encrypts"
    second = json.loads(told("rotate", "--stage", "--json"))
    assert second["does"] == "decrypts"
    listed = json.loads(told("list", "--json"))
    assert [(key["id"], key["does"]) for key in listed] == [
        (first["id"], "encrypts"), ("linking", "links"), (second["id"], "decrypts"),
    ]  # fmt: skip
    used = json.loads(told("rotate", "--use", second["id"], "--json"))
    assert used == {"file": str(tmp_path / "ring"), "id": second["id"], "does": "encrypts"}
    assert json.loads(told("rotate", "--json"))["does"] == "encrypts"
    assert ids(tmp_path / "ring")[1:] == [second["id"], first["id"], "linking"]


def test_no_command_shows_a_key(tmp_path: Path) -> None:
    file = ("--file", str(tmp_path / "ring"))
    said = told("new", *file) + told("rotate", *file) + told("list", *file) + told("list", *file, "--json")
    for key in KeyRing.read(tmp_path / "ring").keys.values():
        assert base64.b64encode(key).decode()[:8] not in said
        assert key.hex()[:8] not in said


def test_a_fingerprint_is_the_same_on_every_machine(tmp_path: Path) -> None:
    path = a_ring(tmp_path, line("a", OLD))
    assert told("list", "--file", str(path)).split() == ["a", "encrypts", "c9fc690c"]


def test_the_ring_is_that_of_the_ready_file_where_nothing_else_names_one(tmp_path: Path) -> None:
    path = a_ring(tmp_path)
    ready = {"temporal": "127.0.0.1:1", "namespace": "dev", "postgres": "postgresql://x@h/d", "keys_file": str(path)}
    (tmp_path / "ready.json").write_text(json.dumps(ready))
    result = CliRunner().invoke(app, ["--ready", "ready.json", "keys", "list", "--json"])
    assert [key["id"] for key in json.loads(result.stdout)] == ["linking", "a", "b"]


def test_what_is_refused_exits_1_and_says_why(tmp_path: Path) -> None:
    path = a_ring(tmp_path)
    for words, fault in {
        ("new",): "there is a file already",
        ("rotate", "--use", "linking"): "never encrypts",
        ("rotate", "--use", "gone"): "there is no key of this id",
    }.items():
        result = keys(*words, "--file", str(path), "--json")
        assert (result.exit_code, result.stdout) == (1, "")
        refusal = json.loads(result.stderr)
        assert refusal["code"] == "InvalidKeys"
        assert fault in refusal["message"]
    result = keys("list", "--file", str(tmp_path / "gone"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("InvalidKeys: ")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("list",), "OMHAND_KEYS_FILE: is not set, and no --file is given"),
        (("rotate", "--stage", "--use", "a", "--file", "keys"), "--stage and --use"),
    ],
)
def test_bad_usage_exits_2(words: tuple[str, ...], fault: str) -> None:
    result = keys(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert fault in result.stderr


@pytest.mark.parametrize("command", ["new", "rotate", "list"])
def test_every_command_about_keys_has_help_and_takes_json(command: str) -> None:
    assert "--json" in told(command, "--help")
