#!/bin/sh
# Brings Temporal's two databases to the schema of this image's version. Each step does nothing where it is done.
# The databases and the login are made by deploy/postgres/init.sql.
set -eu
SQL_PASSWORD=$(cat /run/secrets/temporal_password)
export SQL_PASSWORD
schema=/etc/temporal/schema/postgresql/v12

temporal-sql-tool --db temporal setup-schema --version 0.0
temporal-sql-tool --db temporal update-schema --schema-dir "$schema/temporal/versioned"
temporal-sql-tool --db temporal_visibility setup-schema --version 0.0
temporal-sql-tool --db temporal_visibility update-schema --schema-dir "$schema/visibility/versioned"
