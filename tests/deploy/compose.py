"""What `docker compose` would make of docker-compose.yml, as far as it can be told without a container engine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<how>:[-+?])(?P<word>[^}]*))?\})")
NEEDED = {"OMHAND_TOKEN_JWKS": "https://idp.example.org/jwks"}
"""The variables without which it starts nothing."""


class MissingError(Exception):
    """A variable that the file insists on."""


def interpolated(node: Any, variables: Mapping[str, str]) -> Any:
    """The node with its variables replaced (Compose Specification, "Interpolation")."""
    match node:
        case str():
            return VARIABLE.sub(lambda found: _value(found, variables), node)
        case dict():
            return {key: interpolated(value, variables) for key, value in node.items()}
        case list():
            return [interpolated(item, variables) for item in node]
        case _:
            return node


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    value = variables.get(found["name"], "")
    match found["how"]:
        case ":-":
            return value or found["word"]
        case ":+":
            return found["word"] if value else ""
        case ":?" if not value:
            raise MissingError(found["name"])
        case _:
            return value


def read_compose(root: Path, variables: Mapping[str, str] = NEEDED) -> dict[str, Any]:
    """The file, its variables replaced."""
    read: dict[str, Any] = interpolated(yaml.safe_load((root / "docker-compose.yml").read_text()), variables)
    return read


@dataclass(frozen=True)
class Container:
    """A container of a service, with the folders and files of this machine that it would be given."""

    environment: dict[str, str]
    command: list[str]
    health: list[str]
    mounts: dict[str, Path] = field(default_factory=dict)
    """Its path there, and what it is here."""

    def here(self, text: str) -> str:
        """The text, with this machine's paths in place of the container's."""
        for there in sorted(self.mounts, key=len, reverse=True):
            text = re.sub(rf"(?<![\w/]){re.escape(there)}(?![\w-])", str(self.mounts[there]), text)
        return text


def container(compose: Mapping[str, Any], name: str, root: Path, secrets: Path) -> Container:
    """What the service's container would be given; ``secrets`` stands for the folder ./secrets."""

    def of_this_machine(path: str) -> Path:
        return secrets / path.removeprefix("./secrets/") if path.startswith("./secrets/") else (root / path).resolve()

    service = compose["services"][name]
    mounts = {
        f"/run/secrets/{each}": of_this_machine(compose["secrets"][each]["file"]) for each in _list(service, "secrets")
    }
    for volume in _list(service, "volumes"):
        source, target = volume.split(":")[:2]
        if source.startswith((".", "/")):
            mounts[target] = of_this_machine(source)
    environment = {key: str(value) for key, value in service.get("environment", {}).items()}
    health = service.get("healthcheck", {}).get("test", ["NONE"])[1:]
    return Container(environment, _list(service, "command"), health, mounts)


def _list(service: Mapping[str, Any], key: str) -> list[str]:
    return list(service.get(key, []))
