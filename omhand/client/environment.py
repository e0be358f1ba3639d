"""What the environment says of the database, and of secrets, which may stand in files (contract §8).

A secret need not be in the environment, where whoever may inspect a container reads it: ``<NAME>_FILE`` names a file
whose content it is, without the white space around it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from omhand.client.faults import NotConfigured
from omhand.client.lists import DATABASE_URL

DATABASE_PASSWORD: Final = "OMHAND_DATABASE_PASSWORD"  # noqa: S105 - the name of the setting


def file_of(name: str) -> str:
    """The setting that names the file with this one's value."""
    return f"{name}_FILE"


def setting(environ: Mapping[str, str], name: str) -> str:
    """The value of a setting, by its own variable or by its file; "" where neither is set.

    Raises:
        NotConfigured: both are, or the file cannot be used. It names the setting, and nothing that is in the file.
    """
    value, file = (environ.get(key, "").strip() for key in (name, file_of(name)))
    if not file:
        return value
    if value:
        msg = f"{file_of(name)}: {name} is set too, and only one of them may be"
        raise NotConfigured(msg)
    try:
        # Bytes that are not UTF-8 become what they become in the environment.
        content = Path(file).read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError as error:
        msg = f"{file_of(name)}: the file cannot be read ({error.strerror})"
        raise NotConfigured(msg) from error
    if not content:
        msg = f"{file_of(name)}: the file is empty"
        raise NotConfigured(msg)
    return content


def database_url(environ: Mapping[str, str]) -> str:
    """The URL of the database, its password in it; "" where none is named.

    Raises:
        NotConfigured: as `setting`; there is a password and no URL, or the URL has one too.
    """
    url, password = setting(environ, DATABASE_URL), setting(environ, DATABASE_PASSWORD)
    if not password:
        return url
    try:
        return with_password(url, password)
    except ValueError as fault:
        msg = f"{DATABASE_PASSWORD}: {fault}"
        raise NotConfigured(msg) from None


def with_password(url: str, password: str) -> str:
    """The URL with the password in it.

    Raises:
        ValueError: there is no URL to put it into, or one with a password. It quotes neither.
    """
    if not url:
        msg = f"there is no {DATABASE_URL} that it is for"
        raise ValueError(msg)
    try:
        parts = urlsplit(url)
    except ValueError:
        msg = f"{DATABASE_URL} is no URL"
        raise ValueError(msg) from None
    if parts.password is not None or "password" in parse_qs(parts.query, keep_blank_values=True):
        msg = f"{DATABASE_URL} has a password already"
        raise ValueError(msg)
    # As a parameter: so it goes with a Unix socket's URL, which names no user to put it behind.
    return f"{url}{'&' if parts.query else '?'}password={quote(password, safe='')}"
