"""Settings: every fault is told at once, by name, and never with a value."""

import base64
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from activities.identity import TokenSettings
from omhand.cli.place import Place
from omhand.client import NotConfigured
from omhand.client.environment import database_url
from omhand.codec import EncryptionCodec
from workers import settings as settings_module
from workers.settings import KNOWN, SECRETS, SettingsError, read_settings, temporal_connect_config

DSN = "postgresql://omhand:hemligt@db/omhand"
NEEDED = {"OMHAND_DATABASE_URL": DSN}


@pytest.fixture
def keys(tmp_path: Path) -> str:
    path = tmp_path / "keys"
    path.write_text(f"a:{base64.b64encode(bytes(32)).decode()}\n")
    return str(path)


def faults_of(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        read_settings(environ)
    assert str(raised.value).split("\n") == list(raised.value.faults)
    return raised.value.faults


def test_the_database_alone_is_enough() -> None:
    settings = read_settings({**NEEDED, "PATH": "/bin", "TEMPORAL_ADDRESS": "x:1"})
    assert settings.database_url == DSN
    assert settings.gateway_url is None
    assert settings.keys_file is None
    assert settings.codec() is None
    assert not settings.require_encryption
    assert settings.log_level == "INFO"
    assert settings.notices_per_second == 20.0
    assert settings.metrics_address is None
    assert settings.tokens is None
    assert not settings.require_assertions


def test_everything_that_can_be_set(keys: str) -> None:
    settings = read_settings(
        {
            "OMHAND_DATABASE_URL": f"  {DSN}\n",
            "OMHAND_GATEWAY_URL": "https://gateway.example.org/notices",
            "OMHAND_GATEWAY_SECRET": "s",
            "OMHAND_KEYS_FILE": keys,
            "OMHAND_REQUIRE_ENCRYPTION": "Yes",
            "OMHAND_LOG_FORMAT": "console",
            "OMHAND_LOG_LEVEL": "debug",
            "OMHAND_METRICS_ADDRESS": "[::1]:9464",
            "OMHAND_NOTICES_PER_SECOND": "0.5",
            "OMHAND_TOKEN_JWKS": "https://idp.example.org/jwks",
            "OMHAND_TOKEN_ISSUER": "https://idp.example.org",
            "OMHAND_TOKEN_AUDIENCE": "care",
            "OMHAND_REQUIRE_ASSERTIONS": "yes",
            "OMHAND_ASSERTION": "a client's",
            "OMHAND_BUILD_ID": "0.2.0",
            "OMHAND_CANARY_EVERY": "PT5M",
            "OMHAND_HEARTBEAT_URL": "https://heartbeat.example.org/x",
        }
    )
    assert settings.database_url == DSN
    assert settings.gateway_url == "https://gateway.example.org/notices"
    assert settings.require_encryption
    assert settings.log_format == "console"
    assert settings.log_level == "DEBUG"
    assert settings.metrics_address == "[::1]:9464"
    assert settings.notices_per_second == 0.5
    assert settings.tokens == TokenSettings("https://idp.example.org/jwks", None, "https://idp.example.org", "care")
    assert settings.require_assertions
    assert settings.build_id == "0.2.0"
    assert settings.canary_every == timedelta(minutes=5)
    assert settings.heartbeat_url == "https://heartbeat.example.org/x"
    assert isinstance(settings.codec(), EncryptionCodec)


def test_every_fault_is_told_at_once() -> None:
    assert faults_of(
        {
            "OMHAND_GATEWAY_URL": "gateway",
            "OMHAND_KEYS_FILE": "/nowhere/keys",
            "OMHAND_REQUIRE_ENCRYPTION": "maybe",
            "OMHAND_LOG_FORMAT": "xml",
            "OMHAND_DATABAS_URL": DSN,
        }
    ) == (
        "OMHAND_DATABASE_URL: missing",
        "OMHAND_DATABAS_URL: there is no such setting; is it misspelt?",
        "OMHAND_GATEWAY_URL: not an http:// or https:// URL with a host",
        "OMHAND_KEYS_FILE: /nowhere/keys: the key ring cannot be read (No such file or directory)",
        "OMHAND_LOG_FORMAT: neither json nor console",
        "OMHAND_REQUIRE_ENCRYPTION: neither true nor false",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMHAND_DATABASE_URL", "hemligt"),
        ("OMHAND_DATABASE_URL", "mysql://hemligt"),
        ("OMHAND_GATEWAY_URL", "hemligt"),
        ("OMHAND_GATEWAY_URL", "ftp://hemligt"),
        ("OMHAND_GATEWAY_URL", "http://"),
        ("OMHAND_GATEWAY_URL", "http://hemligt:port"),
        ("OMHAND_GATEWAY_URL", "http://[hemligt"),
        ("OMHAND_REQUIRE_ENCRYPTION", "hemligt"),
        ("OMHAND_LOG_FORMAT", "hemligt"),
        ("OMHAND_LOG_LEVEL", "hemligt"),
        ("OMHAND_METRICS_ADDRESS", "hemligt"),
        ("OMHAND_METRICS_ADDRESS", "9464"),
        ("OMHAND_METRICS_ADDRESS", "hemligt:9464"),
        ("OMHAND_METRICS_ADDRESS", "127.0.0.1:0"),
        ("OMHAND_METRICS_ADDRESS", "127.0.0.1:65536"),
        ("OMHAND_METRICS_ADDRESS", "127.0.0.1:٣"),
        ("OMHAND_NOTICES_PER_SECOND", "hemligt"),
        ("OMHAND_NOTICES_PER_SECOND", "0"),
        ("OMHAND_NOTICES_PER_SECOND", "-1"),
        ("OMHAND_NOTICES_PER_SECOND", "inf"),
        ("OMHAND_NOTICES_PER_SECOND", "nan"),
        ("OMHAND_TOKEN_JWKS", "hemligt"),
        ("OMHAND_TOKEN_JWKS", "file:///hemligt"),
        ("OMHAND_TOKEN_SECRET", "hemligt" * 4),
        ("OMHAND_TOKEN_SECRET", "-----BEGIN PUBLIC KEY-----\nhemligt\n-----END PUBLIC KEY-----"),
        ("OMHAND_TOKEN_SECRET", "ssh-rsa hemligt hemligt hemligt hemligt"),
        ("OMHAND_TOKEN_SECRET", '{"kty": "oct", "k": "hemligthemligthemligt"}'),
        ("OMHAND_REQUIRE_ASSERTIONS", "hemligt"),
        ("OMHAND_BUILD_ID", "hemligt/1"),
        ("OMHAND_BUILD_ID", "x" * 65),
        ("OMHAND_CANARY_EVERY", "hemligt"),
        ("OMHAND_CANARY_EVERY", "300"),
        ("OMHAND_CANARY_EVERY", "PT59S"),
        ("OMHAND_CANARY_EVERY", "PT1H1S"),
        ("OMHAND_HEARTBEAT_URL", "hemligt"),
    ],
)
def test_a_fault_names_the_setting_and_never_the_value(name: str, value: str) -> None:
    (fault,) = faults_of({**NEEDED, name: value})
    assert fault.startswith(f"{name}: not ") or "either" in fault or "none of" in fault
    assert "hemligt" not in fault


def test_what_is_set_but_empty_is_not_set() -> None:
    assert read_settings({**NEEDED, **dict.fromkeys(KNOWN - {"OMHAND_DATABASE_URL"}, " ")}).keys_file is None
    assert faults_of({"OMHAND_DATABASE_URL": ""}) == ("OMHAND_DATABASE_URL: missing",)


def test_what_is_required_is_for_the_caller_to_say(keys: str) -> None:
    assert read_settings({"OMHAND_KEYS_FILE": keys}, required=["OMHAND_KEYS_FILE"]).database_url == ""
    with pytest.raises(SettingsError, match="OMHAND_KEYS_FILE: missing"):
        read_settings(NEEDED, required=["OMHAND_KEYS_FILE"])


def test_settings_that_contradict_each_other_are_faults() -> None:
    assert faults_of({**NEEDED, "OMHAND_REQUIRE_ENCRYPTION": "true", "OMHAND_GATEWAY_SECRET": "hemligt"}) == (
        "OMHAND_GATEWAY_SECRET: there is no OMHAND_GATEWAY_URL to sign for",
        "OMHAND_REQUIRE_ENCRYPTION: nothing can be encrypted without OMHAND_KEYS_FILE",
    )


def test_a_shared_secret_is_of_bytes() -> None:
    tokens = read_settings({**NEEDED, "OMHAND_TOKEN_SECRET": "å" * 16}).tokens
    assert tokens == TokenSettings(secret=("å" * 16).encode(), issuer=None, audience="omhand")


def test_tokens_are_verified_in_one_way_or_not_at_all() -> None:
    jwks, secret = {"OMHAND_TOKEN_JWKS": "https://idp/jwks"}, {"OMHAND_TOKEN_SECRET": "hemligt" * 5}
    assert faults_of({**NEEDED, **jwks, **secret}) == (
        "OMHAND_TOKEN_SECRET: there is OMHAND_TOKEN_JWKS already, and only one of them may be",
    )
    needing = {"OMHAND_TOKEN_ISSUER": "hemligt", "OMHAND_TOKEN_AUDIENCE": "hemligt", "OMHAND_REQUIRE_ASSERTIONS": "yes"}
    assert faults_of({**NEEDED, **needing}) == (
        "OMHAND_REQUIRE_ASSERTIONS: nothing can be verified without OMHAND_TOKEN_JWKS or OMHAND_TOKEN_SECRET",
        "OMHAND_TOKEN_AUDIENCE: there is no OMHAND_TOKEN_JWKS or OMHAND_TOKEN_SECRET to verify a token with",
        "OMHAND_TOKEN_ISSUER: there is no OMHAND_TOKEN_JWKS or OMHAND_TOKEN_SECRET to verify a token with",
    )
    assert read_settings({**NEEDED, **secret, **needing}).require_assertions


def test_what_kubernetes_sets_for_a_service_of_that_name_is_no_fault() -> None:
    names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8234_TCP", "PORT_8234_TCP_ADDR"]
    read_settings(NEEDED | {f"OMHAND_{name}": "x" for name in names} | {f"OMHAND_CODEC_{name}": "x" for name in names})


def test_no_secret_is_shown_by_repr() -> None:
    settings = read_settings(
        {**NEEDED, "OMHAND_GATEWAY_URL": "http://u:hemligt@gateway", "OMHAND_GATEWAY_SECRET": "hemligt"}
        | {"OMHAND_TOKEN_SECRET": "hemligt" * 5}
    )
    assert "hemligt" not in repr(settings)
    settings = read_settings({**NEEDED, "OMHAND_TOKEN_JWKS": "http://u:hemligt@idp"})
    assert "hemligt" not in repr(settings)


def test_the_process_environment_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMHAND_DATABASE_URL", DSN)
    assert read_settings().database_url == DSN


def test_the_log_is_for_people_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for at_terminal, expected in ((True, "console"), (False, "json")):
        monkeypatch.setattr(settings_module.sys.stderr, "isatty", lambda at=at_terminal: at)  # type: ignore[attr-defined]
        assert read_settings(NEEDED).log_format == expected


# Secrets in files


SECRETS_TO_SET = {
    "OMHAND_DATABASE_URL": DSN,
    "OMHAND_GATEWAY_SECRET": "hemligt",
    "OMHAND_TOKEN_SECRET": "hemligt" * 5,
    "OMHAND_HEARTBEAT_URL": "https://heartbeat.example.org/hemligt",
}
BESIDE = {"OMHAND_GATEWAY_URL": "https://gateway.example.org"}


def in_file(folder: Path, name: str, content: str) -> dict[str, str]:
    """The setting that names a file with this content."""
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return {f"{name}_FILE": str(file)}


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    environ = dict(BESIDE)
    for name, value in SECRETS_TO_SET.items():
        environ |= in_file(tmp_path, name, f" {value}\n")
    assert read_settings(environ) == read_settings(BESIDE | SECRETS_TO_SET)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_stands_in_one_place(tmp_path: Path, name: str) -> None:
    others = BESIDE | {"OMHAND_DATABASE_URL": "postgresql://omhand@db/omhand"}
    assert faults_of(others | {name: "hemligt"} | in_file(tmp_path, name, "hemligt")) == (
        f"{name}_FILE: {name} is set too, and only one of them may be",
    )


@pytest.mark.parametrize("name", SECRETS)
def test_a_file_that_cannot_be_used_is_a_fault_of_the_setting_that_names_it(tmp_path: Path, name: str) -> None:
    others = BESIDE if name == "OMHAND_DATABASE_URL" else BESIDE | NEEDED
    empty, setting = in_file(tmp_path, name, " \n"), f"{name}_FILE"
    assert faults_of(others | empty) == (f"{setting}: the file is empty",)
    for path, why in (("/nowhere/hemligt", "No such file or directory"), (str(tmp_path), "Is a directory")):
        assert faults_of(others | {setting: path}) == (f"{setting}: the file cannot be read ({why})",)


def test_a_fault_in_a_file_is_told_without_what_it_holds(tmp_path: Path) -> None:
    (fault,) = faults_of(BESIDE | in_file(tmp_path, "OMHAND_DATABASE_URL", "mysql://hemligt"))
    assert fault == "OMHAND_DATABASE_URL: not a URL that begins with postgresql://"


@pytest.mark.parametrize("url", ["postgresql://app@db/omhand", "postgresql://app@db/omhand?sslmode=require"])
def test_the_password_of_the_database_may_stand_by_itself(tmp_path: Path, url: str) -> None:
    password = "p@ss/w+ å%20"
    for given in ({"OMHAND_DATABASE_PASSWORD": password}, in_file(tmp_path, "OMHAND_DATABASE_PASSWORD", password)):
        settings = read_settings({"OMHAND_DATABASE_URL": url} | given)
        assert settings.database_url.startswith(url)
        assert parse_qs(urlsplit(settings.database_url).query)["password"] == [password]
        assert password not in repr(settings)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("postgresql://app:hemligt@db/omhand", "OMHAND_DATABASE_URL has a password already"),
        ("postgresql://app@db/omhand?password=hemligt", "OMHAND_DATABASE_URL has a password already"),
        ("postgresql://app@[hemligt/omhand", "OMHAND_DATABASE_URL is no URL"),
    ],
)
def test_a_password_that_fits_no_url_is_a_fault(url: str, what: str) -> None:
    environ = {"OMHAND_DATABASE_URL": url, "OMHAND_DATABASE_PASSWORD": "hemligt"}
    assert faults_of(environ) == (f"OMHAND_DATABASE_PASSWORD: {what}",)
    with pytest.raises(NotConfigured) as raised:
        database_url(environ)
    assert str(raised.value) == f"OMHAND_DATABASE_PASSWORD: {what}"


def test_a_password_without_a_url_is_a_fault() -> None:
    assert faults_of({"OMHAND_DATABASE_PASSWORD": "hemligt"}) == (
        "OMHAND_DATABASE_PASSWORD: there is no OMHAND_DATABASE_URL that it is for",
        "OMHAND_DATABASE_URL: missing",
    )


def test_a_command_that_was_told_its_database_takes_no_password_from_elsewhere(tmp_path: Path) -> None:
    elsewhere = {"OMHAND_DATABASE_URL": "postgresql://elsewhere/d"}
    elsewhere |= in_file(tmp_path, "OMHAND_DATABASE_PASSWORD", "hemligt")
    assert read_settings(elsewhere | Place(database_url=DSN).environment()).database_url == DSN
    assert "hemligt" in read_settings(elsewhere | Place().environment()).database_url


# Temporal


def test_temporal_is_on_this_machine_where_nothing_is_said() -> None:
    config = temporal_connect_config({"TEMPORAL_CONFIG_FILE": "/dev/null"})
    assert config == {"target_host": "localhost:7233", "namespace": "default"}


def test_temporal_is_read_from_the_profile_and_the_environment_goes_before(tmp_path: Path) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.clinic]\naddress = "a:1"\nnamespace = "n"\n')
    environ = {"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": "clinic", "TEMPORAL_ADDRESS": "b:2"}
    config = temporal_connect_config(environ)
    assert (config["target_host"], config["namespace"]) == ("b:2", "n")


@pytest.mark.parametrize(
    "text", ['[profile.default]\naddress = "a:1"\napi_key = "hemligt', '[profile.default]\napi_key = ["hemligt"]\n']
)
def test_a_bad_profile_is_said_without_what_it_holds(tmp_path: Path, text: str) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"TEMPORAL_\*: .*TOML parse error at line") as raised:
        temporal_connect_config({"TEMPORAL_CONFIG_FILE": str(file)})
    assert "hemligt" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_files_and_profiles_that_are_not_there_are_said() -> None:
    with pytest.raises(SettingsError, match="TEMPORAL_CONFIG_FILE: there is no such file"):
        temporal_connect_config({"TEMPORAL_CONFIG_FILE": "/nowhere"})
    with pytest.raises(SettingsError, match="Profile 'nix' not found"):
        temporal_connect_config({"TEMPORAL_CONFIG_FILE": "/dev/null", "TEMPORAL_PROFILE": "nix"})
    with pytest.raises(SettingsError, match="a file that it names cannot be read"):
        temporal_connect_config(
            {
                "TEMPORAL_CONFIG_FILE": "/dev/null",
                "TEMPORAL_ADDRESS": "a:1",
                "TEMPORAL_TLS_CLIENT_CERT_PATH": "/nowhere",
                "TEMPORAL_TLS_CLIENT_KEY_PATH": "/nowhere",
            }
        )
