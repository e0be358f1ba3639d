"""What readers find in the database."""

from typing import Any

import asyncpg

TABLES = ("cases", "offers", "events", "access", "notifications")


async def rows(pool: asyncpg.Pool, query: str, *args: Any) -> list[dict[str, Any]]:
    """What a reader finds."""
    return [dict(row) for row in await pool.fetch(query, *args)]


async def everything(pool: asyncpg.Pool) -> dict[str, list[str]]:
    """All that is stored about cases."""
    return {
        table: [row[0] for row in await pool.fetch(f"select t::text from omhand.{table} t order by 1")]
        for table in TABLES
    }


async def statuses(pool: asyncpg.Pool) -> dict[str, tuple[str, str | None]]:
    """How far each notification has come, and why not further."""
    return {
        row["key"]: (row["status"], row["error"]) for row in await pool.fetch("select * from omhand.notification_log")
    }
