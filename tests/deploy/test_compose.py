"""docker-compose.yml, as far as it can be held without a container engine."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from compose import NEEDED, VARIABLE, MissingError, container, read_compose
from typer.main import get_command

from omhand.cli import app
from workers.settings import DATABASE_URL, KEYS_FILE, KNOWN, read_settings
from workers.worker import GRACE

COMPOSE = read_compose(Path(__file__).parents[2])
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("omhand:")]
ONCE = [name for name, service in SERVICES.items() if service["restart"] == "on-failure"]
"""Those that end when they have done what they are for."""
BY_HAND = [name for name, service in SERVICES.items() if service.get("profiles")]
FOR_GOOD = [name for name in SERVICES if name not in {*ONCE, *BY_HAND}]
SECRET_NAME = re.compile(r"PASSWORD|PWD|SECRET|API_KEY")


def test_it_is_what_the_compose_specification_says() -> None:
    schema = json.loads((Path(__file__).parent / "compose-spec/compose-spec.json").read_text())
    raw = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())
    for read in (raw, COMPOSE):
        jsonschema.Draft202012Validator(schema).validate(read)


def test_nothing_starts_without_an_identity_provider(root: Path) -> None:
    with pytest.raises(MissingError, match="OMHAND_TOKEN_JWKS"):
        read_compose(root, {})


def test_the_example_names_every_variable_and_no_other(root: Path) -> None:
    used = {found["name"] for found in VARIABLE.finditer((root / "docker-compose.yml").read_text()) if found["name"]}
    named = re.findall(r"(?m)^(?:# )?([A-Z_]+)=", (root / "deploy/example.env").read_text())
    assert sorted(named) == sorted(used)


# Omhand's own processes


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("gateway", ["", "https://gateway.example.org/notify"])
def test_its_settings_are_good_and_strict(root: Path, secrets: Path, name: str, gateway: str) -> None:
    compose = read_compose(root, NEEDED | {"OMHAND_GATEWAY_URL": gateway, "OMHAND_BUILD_ID": "0.2.0"})
    given = container(compose, name, root, secrets)
    assert {key for key in given.environment if key.startswith("OMHAND_")} <= KNOWN
    environ = {key: given.here(value) for key, value in given.environment.items()}
    settings = read_settings(environ, required=(DATABASE_URL, KEYS_FILE))
    assert settings.require_encryption
    assert settings.require_assertions
    assert settings.tokens
    assert settings.build_id == "0.2.0"
    assert (settings.gateway_secret is not None) == bool(gateway)


@pytest.mark.parametrize("name", OURS)
def test_its_command_is_one(root: Path, secrets: Path, name: str) -> None:
    given = container(COMPOSE, name, root, secrets)
    word, *rest = map(given.here, given.command)
    commands: Any = get_command(app)
    commands.commands[word].make_context(word, rest)


def test_only_the_migration_is_made_as_the_owner() -> None:
    logins = {name: re.findall(r"//(\w+)@", SERVICES[name]["environment"][DATABASE_URL]) for name in OURS}
    assert logins == {name: ["omhand" if name == "migrate" else "omhand_app"] for name in OURS}


def test_there_may_be_any_number_of_workers(root: Path) -> None:
    worker = SERVICES["worker"]
    assert not {"container_name", "ports", "hostname"} & set(worker)
    assert float(worker["stop_grace_period"].removesuffix("s")) > 2 * GRACE.total_seconds()
    port = int(worker["environment"]["OMHAND_METRICS_ADDRESS"].rpartition(":")[2])
    prometheus = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text())
    found = [found for job in prometheus["scrape_configs"] for found in job.get("dns_sd_configs", [])]
    assert [(each["names"], each["port"]) for each in found] == [(["worker"], port)]


# Every service


@pytest.mark.parametrize("name", SERVICES)
def test_its_image_is_of_one_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert name in OURS or re.search(r":v?\d+(\.\d+)+$", image)


@pytest.mark.parametrize("name", SERVICES)
def test_it_is_given_no_password_but_as_a_file(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        if SECRET_NAME.search(key):
            assert re.fullmatch(r"(/run/secrets/\w+)?", value), key
    assert not re.search(r"://[^/@\s]*:[^/@\s]+@", json.dumps(SERVICES[name]))


@pytest.mark.parametrize("name", SERVICES)
def test_it_may_no_more_than_it_has_to(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_drop") == ["ALL"] or name == "postgres"
    assert service.get("read_only") or name not in OURS
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", FOR_GOOD)
def test_it_is_looked_after(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_it_waits_for_what_it_needs(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if needed in ONCE else "service_healthy"
        assert (needed in SERVICES, how["condition"]) == (True, expected)


@pytest.mark.parametrize("name", ONCE)
def test_somebody_waits_for_what_ends_by_itself(name: str) -> None:
    # Else `docker compose up --wait` would take its end for a fault.
    assert any(name in service.get("depends_on", {}) for service in SERVICES.values())


@pytest.mark.parametrize("name", SERVICES)
def test_what_it_is_given_is_there(root: Path, secrets: Path, name: str) -> None:
    mounts = container(COMPOSE, name, root, secrets).mounts
    assert [there for there, here in mounts.items() if not here.exists()] == []
    for there in mounts:
        if there.startswith("/run/secrets/"):
            # As a user of its own: what is shut to others is the folder on the host.
            assert mounts[there].stat().st_mode & 0o777 == 0o444


def test_every_secret_is_made(secrets: Path) -> None:
    assert {file.name for file in secrets.iterdir()} == {*COMPOSE["secrets"], "keyring"}
    assert secrets.stat().st_mode & 0o777 == 0o700
    values = {(secrets / name).read_text() for name in COMPOSE["secrets"]}
    assert len(values) == len(COMPOSE["secrets"])
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in values)


def test_a_secret_that_is_there_is_never_made_anew(root: Path, secrets: Path) -> None:
    def content() -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in secrets.rglob("*") if file.is_file()}

    before = content()
    subprocess.run(["sh", root / "deploy/secrets.sh", secrets], check=True, capture_output=True)
    assert content() == before


def test_grafana_finds_its_source_and_its_dashboards(root: Path, secrets: Path) -> None:
    given = container(COMPOSE, "grafana", root, secrets)
    provisioning = root / "deploy/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert (source["uid"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = yaml.safe_load((provisioning / "dashboards/omhand.yml").read_text())["providers"]
    assert given.mounts[provider["options"]["path"]] == root / "deploy/grafana/dashboards"
