"""What stands for a patient in the database: a token, by which their cases are found and which says nothing by itself.

It is made with a secret that is in the database and, where the key ring has one, with the *linking key*, which is not:
identity numbers are so few that whoever had both a copy of the database and all that the tokens are made with could try
them all. The linking key is never changed: a token of another key finds nothing.
"""

import hashlib
import hmac
from typing import Final

import asyncpg
from temporalio.exceptions import ApplicationError

from activities.postgres.pool import query

BY_KEY: Final = "2."
"""How a token begins that is made with the linking key, too."""


ADOPT_SECONDS: Final = 600
"""Of one statement: every case has a token."""


class WrongLinkingKey(Exception):  # noqa: N818 - named for what is the matter
    """The key ring has not the linking key that the database's patient tokens are made with."""


class LinkingKeyMissing(ApplicationError):  # noqa: N818 - named for what is the matter
    """This worker was started without the linking key that others have. Retried: it has to be started again with it."""

    def __init__(self) -> None:
        msg = "this worker has not the linking key of the patient tokens: start it again with the key ring that has it"
        super().__init__(msg, type="LinkingKeyMissing")


class Patients:
    """Makes tokens."""

    def __init__(self, pool: asyncpg.Pool, linking: bytes | None = None) -> None:
        self._pool = pool
        self._linking = linking
        self._secret: bytes | None = None

    async def token(self, patient: str) -> str:
        """The token of a normalised identity (contract §1, ``patient.id``)."""
        return (await self.tokens(patient))[0]

    async def tokens(self, patient: str) -> list[str]:
        """The token, and what it was before there was a linking key: in a log that is never changed both stand."""
        if self._secret is None:
            self._secret = bytes(await self._pool.fetchval(query("linking_secret")))
        inner = _hex(self._secret, patient)
        return [inner] if self._linking is None else [_by_key(self._linking, inner), inner]

    async def is_token_of(self, token: str | None, patient: str) -> bool:
        """Whether that is the patient's token.

        Raises:
            LinkingKeyMissing: that cannot be told here.
        """
        if token is not None and token.startswith(BY_KEY) and self._linking is None:
            raise LinkingKeyMissing
        return token in await self.tokens(patient)


async def adopt_linking_key(pool: asyncpg.Pool, linking: bytes | None) -> None:
    """Make the tokens of this database those of the linking key, once and for all; nothing where they are already.

    That takes half a minute for a million cases, and no case is recorded meanwhile.

    Raises:
        WrongLinkingKey: they are of another key, or of one that is not given.
        OSError, asyncpg.PostgresError: the database cannot be reached.
    """
    wanted = _hex(linking, "omhand linking key") if linking else None
    if not await _is_to_be_adopted(pool, wanted) or linking is None:
        return
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(query("lock_cases"), timeout=ADOPT_SECONDS)
        if await _is_to_be_adopted(connection, wanted):  # another worker may have been quicker
            old = [row["patient"] for row in await connection.fetch(query("tokens_without_key"), timeout=ADOPT_SECONDS)]
            new = [_by_key(linking, token) for token in old]
            await connection.execute(query("replace_tokens"), old, new, timeout=ADOPT_SECONDS)
            await connection.execute(query("set_linking_check"), wanted)


async def check_linking_key(pool: asyncpg.Pool, linking: bytes | None) -> bool:
    """Whether the tokens of this database are made with a linking key, which is the given one.

    Raises:
        WrongLinkingKey: they are of another key, or of one that is not given.
    """
    wanted = _hex(linking, "omhand linking key") if linking else None
    is_to_be_adopted = await _is_to_be_adopted(pool, wanted)
    return wanted is not None and not is_to_be_adopted


async def _is_to_be_adopted(database: asyncpg.Pool | asyncpg.Connection, wanted: str | None) -> bool:
    check = await database.fetchval(query("linking_check"))
    if check not in {None, wanted}:
        msg = "the patient tokens of this database are made with a linking key that the key ring has not: put it back"
        raise WrongLinkingKey(msg)
    return bool(check != wanted)


def _by_key(linking: bytes, inner: str) -> str:
    return BY_KEY + _hex(linking, inner)


def _hex(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
