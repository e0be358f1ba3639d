"""Writes the migrations out as one SQL script, which ``workers.migrate`` runs.

Alembic would want a second, synchronous driver (or greenlets) to run them itself. They are plain SQL, so it is asked
for the script instead, and the driver that the project has anyway runs it in one transaction.

A migration says beside its revision what it does to programs of before, which may be running: ``oldest_program = None``
where they go on, as they do with whatever is only added; else the oldest that can bear it (see ``workers/migrate.py``).
"""

from alembic import context

context.configure(
    dialect_name="postgresql",
    # Else a % in the SQL would be doubled for a driver that wants it so.
    dialect_opts={"paramstyle": "named"},
    version_table_schema="omhand",
)
context.run_migrations()
