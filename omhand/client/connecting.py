"""The connection to Temporal: by what was given, else by the environment and Temporal's profile (contract §8)."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.envconfig import ClientConfig, ClientConnectConfig

from omhand.client.faults import NotConfigured
from omhand.client.tracing import tracing
from omhand.codec import encryption

KEYS_FILE: Final = "OMHAND_KEYS_FILE"
DEFAULT_ADDRESS: Final = "127.0.0.1:7233"
DEFAULT_NAMESPACE: Final = "default"


def connect_config(environ: Mapping[str, str]) -> ClientConnectConfig:
    """What ``TEMPORAL_*`` and the profile say; what they leave out is not in it.

    Raises:
        NotConfigured: they cannot be read.
    """
    file = environ.get("TEMPORAL_CONFIG_FILE", "")
    if file and not Path(file).exists():  # the loader would go on without it
        msg = "TEMPORAL_CONFIG_FILE: there is no such file"
        raise NotConfigured(msg)
    try:
        return ClientConfig.load_client_connect_config(config_file=file or None, override_env_vars=dict(environ))
    except OSError as error:
        msg = f"TEMPORAL_*: a file that it names cannot be read ({error.strerror})"
        raise NotConfigured(msg) from error
    except (RuntimeError, ValueError) as error:
        # Only the first line: what follows quotes the file, and the file may hold an API key.
        msg = f"TEMPORAL_*: {str(error).partition(chr(10))[0]}"
        raise NotConfigured(msg) from None


def ring_file(given: Path | None) -> Path | None:
    """The key ring that is meant: the one that is given, else that of the environment; None where none is named."""
    named = os.environ.get(KEYS_FILE, "").strip()
    return given or (Path(named) if named else None)


async def connect_temporal(address: str | None, namespace: str | None, keys_file: Path | None) -> Client:
    """A client that connects at its first call, with payloads encrypted where there are keys.

    With an ``address`` nothing of ``TEMPORAL_*`` or the profile is used: their API key is for their server only.

    Raises:
        NotConfigured: the profile cannot be read, or the address is none.
        KeyRingError: the key ring cannot be used.
    """
    keys = ring_file(keys_file)
    config = ClientConnectConfig(target_host=address) if address else connect_config(os.environ)
    config["target_host"] = config.get("target_host", DEFAULT_ADDRESS)
    config["namespace"] = namespace or config.get("namespace", DEFAULT_NAMESPACE)
    plugin = encryption(keys)
    try:
        return await Client.connect(**config, plugins=[plugin], interceptors=tracing("omhand"), lazy=True)
    except ValueError as error:
        msg = "TEMPORAL_ADDRESS: is not host:port"
        raise NotConfigured(msg) from error
