"""The tables.

A case's row, its offers and its notifications say how things are now; its events and the access log are only ever
added to. There are no foreign keys: `record_step` is the only writer of a case's rows, holds the case's row while it
writes, and is on the way of everything that staff do.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CASES = """
create table omhand.cases (
    case_id           text collate "C" primary key,
    run_id            text not null,         -- the first run of the case's workflow: no other may write here
    kind              text not null,
    status            text not null,
    priority          integer,
    profession        text not null,         -- whom it is directed to now
    opened_profession text not null,         -- whom it was directed to when it was opened
    origin            text not null,
    received_by       text not null,
    responsible_unit  text not null,
    assigned_to       text,
    escalation_level  integer not null,
    highest_level     integer not null,
    due_at            timestamptz,           -- of the phase that it is in
    accept_by         timestamptz,           -- of the last time that it waited
    was_late          boolean not null,
    opened_at         timestamptz not null,
    accepted_at       timestamptz,
    accepted_by_unit  text,
    closed_at         timestamptz,
    outcome           text,
    seq               integer not null,      -- of its last event
    patient           text                   -- a token, never an identity; null for a case without a patient
);
create index cases_open_by_unit on omhand.cases (responsible_unit) where closed_at is null;
create index cases_open_by_patient on omhand.cases (patient) where closed_at is null;

create table omhand.offers (
    case_id    text collate "C" not null,
    offer      text not null,
    unit_id    text not null,
    profession text,
    staff      text,
    why        text not null,
    since      timestamptz not null,
    answer_by  timestamptz,
    primary key (case_id, offer)
);
create index offers_by_unit on omhand.offers (unit_id);
"""

LOGS = """
create table omhand.events (
    case_id text collate "C" not null,
    seq     integer not null,
    at      timestamptz not null,
    event   text not null,
    by      jsonb,                           -- {"staff", "unit", "profession"} or {"patient": true}; null: by itself
    detail  jsonb not null,
    cause   text,                            -- what made it happen; null for the clock
    primary key (case_id, seq)
);

create table omhand.access (
    at         timestamptz not null,
    case_id    text collate "C" not null,
    seq        integer not null,             -- the case's, after the step
    nth        integer not null,             -- of the step, from 1
    patient    text,
    staff      text,
    unit_id    text,
    by_patient boolean not null,
    action     text not null
);
create index access_by_case on omhand.access (case_id, seq);

create table omhand.notifications (
    key         text collate "C" primary key,
    case_id     text collate "C" not null,
    reason      text not null,
    unit_id     text not null,
    channel     text not null,
    recipient   text not null,
    kind        text not null,
    priority    integer,
    due_at      timestamptz,
    text        text not null,
    until_taken boolean not null,            -- of no use once somebody has taken the case
    status      text not null check (status in ('pending', 'sent', 'failed')),
    withdrawn   boolean not null default false,
    attempts    integer not null default 0,
    error       text,
    created_at  timestamptz not null default now(),
    sent_at     timestamptz
);
create index notifications_by_case on omhand.notifications (case_id);
create index notifications_pending on omhand.notifications (created_at) where status = 'pending';
"""

APPEND_ONLY = """
create function omhand.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % is refused', tg_table_name, lower(tg_op) using errcode = 'OM003';
end
$$;

create trigger append_only before update or delete or truncate on omhand.events
    for each statement execute function omhand.refuse_change();
create trigger append_only before update or delete or truncate on omhand.access
    for each statement execute function omhand.refuse_change();
-- Always: also for a session that plays a replica, where ordinary triggers sleep.
alter table omhand.events enable always trigger append_only;
alter table omhand.access enable always trigger append_only;
"""

RULES = """
create table omhand.rules (
    version   integer primary key,
    directory jsonb not null,
    policy    jsonb not null,
    loaded_at timestamptz not null default now()
);
"""

LINKING_SECRET = """
create table omhand.linking_secret (
    only_one boolean primary key default true check (only_one),
    secret   bytea not null                  -- patient tokens are HMAC-SHA256 under it: without it they say nothing
);
insert into omhand.linking_secret (secret)
    values (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
"""


def upgrade() -> None:
    for statements in (CASES, LOGS, APPEND_ONLY, RULES, LINKING_SECRET):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("a case file is not undone; go forward with a new migration")
