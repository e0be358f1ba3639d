"""Which server a command speaks to: the environment's, or the ``omhand dev`` of the working directory (contract §8)."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ConfigDict

from omhand.cli.saying import bad_usage
from omhand.client import CaseClient, NotConfigured
from omhand.client.connecting import KEYS_FILE, connect_config
from omhand.client.environment import DATABASE_PASSWORD, database_url, file_of
from omhand.client.lists import DATABASE_URL
from omhand.contract.reads import Reader
from omhand.contract.wire import Malformed, ShortText, Text, Wire, parse_object, read

DEFAULT_READY: Final = Path(".omhand/dev/ready.json")


@dataclass(frozen=True)
class Place:
    """Where everything is. None: the client finds it in the environment, or does without."""

    address: str | None = None
    namespace: str | None = None
    keys_file: Path | None = None
    database_url: str | None = None

    async def connect(self, reader: Reader | None = None) -> CaseClient:
        """Connect as `CaseClient.connect` does, with its errors; ``reader`` is who reads."""
        return await CaseClient.connect(
            address=self.address,
            namespace=self.namespace,
            keys_file=self.keys_file,
            database_url=self.database_url,
            reader=reader,
            via="command",
        )

    def environment(self) -> dict[str, str]:
        """The same, as the variables that a worker reads."""
        named = {
            "TEMPORAL_ADDRESS": self.address,
            "TEMPORAL_NAMESPACE": self.namespace,
            KEYS_FILE: str(self.keys_file) if self.keys_file else None,
            DATABASE_URL: self.database_url,
        }
        if self.database_url:  # it holds its password, and nothing else counts
            named |= dict.fromkeys((file_of(DATABASE_URL), DATABASE_PASSWORD, file_of(DATABASE_PASSWORD)), "")
        return {name: value for name, value in named.items() if value is not None}


class Ready(Wire):
    """The part of the ready line (contract §8) that a command needs."""

    model_config = ConfigDict(extra="ignore")

    temporal: ShortText
    namespace: ShortText
    postgres: Text
    keys_file: Text


def find_place(ready: Path | None) -> Place:
    """Where the command is to go: to ``ready``, whatever the environment says, if that is given.

    Else each thing that the environment leaves out comes of the ready file of the working directory. But where the
    environment names another server, nothing does: a case is not to be encrypted with keys that its workers lack.

    Exits:
        2: a file or the environment cannot be read.
    """
    if ready:
        told = _read(ready)
        return Place(told.temporal, told.namespace, Path(told.keys_file), told.postgres)
    if not DEFAULT_READY.exists():
        return Place()
    told = _read(DEFAULT_READY)
    try:
        config, database = connect_config(os.environ), database_url(os.environ)
    except NotConfigured as fault:
        bad_usage(str(fault))
    if _plain(config.get("target_host", told.temporal)) != _plain(told.temporal):
        return Place()
    keys = os.environ.get(KEYS_FILE, "").strip()
    return Place(
        address=told.temporal,
        namespace=config.get("namespace", told.namespace),
        keys_file=Path(keys or told.keys_file),
        database_url=database or told.postgres,
    )


def _plain(address: str) -> str:
    return address.replace("localhost:", "127.0.0.1:")


def _read(path: Path) -> Ready:
    try:
        return read(Ready, parse_object(path.read_bytes()))
    except OSError as error:
        bad_usage(f"{path}: cannot be read ({error.strerror})")
    except Malformed as fault:
        bad_usage(f"{path}: {fault}")
