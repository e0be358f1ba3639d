-- The logins and databases of a new Postgres server, run once by `psql` as its superuser: by the image when its volume is
-- empty, or by hand:
--
--   psql --set ON_ERROR_STOP=1 --set secrets=./secrets --file deploy/postgres/init.sql postgresql://postgres@host/postgres
--
-- Passwords come from files, and the tables from `omhand migrate` and Temporal's own tool. Nobody but the superuser may
-- do more than they need (docs/security.md).

\if :{?secrets}
\else
\set secrets /run/secrets
\endif
\set omhand `cat :'secrets'/omhand_password`
\set omhand_app `cat :'secrets'/omhand_app_password`
\set temporal `cat :'secrets'/temporal_password`

-- A file that is missing or next to empty ends the script here, as a division by zero: else a login had no password.
select 1 / (least(length(:'omhand'), length(:'omhand_app'), length(:'temporal')) >= 16)::int as passwords_are_there;

-- What each process may is said by a role, and granted by the migrations. They make the roles where they are missing,
-- which takes `createrole`: the owner need not have it.
create role omhand_worker nologin;
create role omhand_reader nologin;
create role omhand_auditor nologin;

create role omhand login password :'omhand';           -- owns the schema: `omhand migrate`, `omhand forget`
create role omhand_app login password :'omhand_app' in role omhand_worker;   -- workers, codec server, commands
create role temporal login password :'temporal';

create database omhand owner omhand;
create database temporal owner temporal;
create database temporal_visibility owner temporal;

revoke all on database omhand, temporal, temporal_visibility from public;
grant connect on database omhand to omhand_worker, omhand_reader, omhand_auditor;
