"""Writes the migrations out as one SQL script, which ``workers.migrate`` runs.

Alembic would want a second, synchronous driver (or greenlets) to run them itself. They are plain SQL, so it is asked
for the script instead, and the driver that the project has anyway runs it in one transaction.
"""

from alembic import context

context.configure(
    dialect_name="postgresql",
    # Else a % in the SQL would be doubled for a driver that wants it so.
    dialect_opts={"paramstyle": "named"},
    version_table_schema="omhand",
)
context.run_migrations()
