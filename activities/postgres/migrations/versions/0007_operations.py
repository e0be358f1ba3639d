"""Whether all is well: what is due next in each case, audits and what they found, canaries.

An expand for programs of 0006 (``workers/migrate.py``): what they write leaves the new columns null.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
oldest_program = None

LOCKS = """
lock table omhand.cases, omhand.handling_times in access exclusive mode;
"""

VERSIONS = """
-- The oldest program that may run on this schema, by its newest migration. A contract raises it (workers/migrate.py).
alter table omhand.alembic_version add column oldest_program text not null default '0006';

-- Which version's rules were put back with this one (`omhand policy restore`); null: they came of files.
alter table omhand.rules add column restores integer;
"""

NEXT = """
-- When something happens by itself; null: nothing does, or a program of before has written the row.
alter table omhand.cases add column next_at timestamptz;
create index cases_next on omhand.cases (next_at) where closed_at is null;

create or replace function omhand.replace_case(told omhand.cases) returns void language sql as $$
    update omhand.cases
    set status = told.status,
        priority = told.priority,
        profession = told.profession,
        responsible_unit = told.responsible_unit,
        assigned_to = told.assigned_to,
        escalation_level = told.escalation_level,
        highest_level = told.highest_level,
        due_at = told.due_at,
        accept_by = told.accept_by,
        was_late = told.was_late,
        accepted_at = told.accepted_at,
        accepted_by_unit = told.accepted_by_unit,
        closed_at = told.closed_at,
        outcome = told.outcome,
        slot = told.slot,
        ticket_unit = told.ticket_unit,
        next_at = told.next_at,
        seq = told.seq
    where case_id = told.case_id
$$;
"""

WATCH = """
create table omhand.audits (
    at       timestamptz primary key,
    compared integer not null                -- cases that were looked at
);

-- What differs now, as the last audit saw it.
create table omhand.findings (
    case_id text collate "C" not null,
    fault   text not null,
    since   timestamptz not null,
    seen    timestamptz not null,
    primary key (case_id, fault)
);

create table omhand.canaries (
    case_id     text collate "C" primary key,
    started_at  timestamptz not null,
    finished_at timestamptz,                 -- null: on its way, or it never came back
    took        interval
);
create index canaries_started on omhand.canaries (started_at);
create index canaries_finished on omhand.canaries (finished_at);

create index cases_accepted on omhand.cases (accepted_at);
create index events_escalated on omhand.events (at) where event = 'escalated';
create index notifications_failed on omhand.notifications (created_at) where status = 'failed' and not withdrawn;

grant select, insert, update, delete on omhand.audits, omhand.findings, omhand.canaries to omhand_worker;
"""

HANDLING_TIMES = """
-- Canaries are nobody's cases.
create or replace view omhand.handling_times with (security_invoker = true) as
select
    case_id,
    kind,
    priority,
    profession,
    received_by as unit_id,
    opened_at,
    accept_by as due_at,
    accepted_at,
    accepted_by_unit,
    closed_at,
    outcome,
    case
        when was_late or (closed_at is null and accept_by <= now()
            and (accepted_at is null or kind in ('consultation', 'message_thread')))
            then false
        when closed_at is null and (accepted_at is null or kind in ('consultation', 'message_thread')) then null
        else true
    end as in_time,
    highest_level as escalation_level,
    patient_region,
    out_of_region
from omhand.cases
where received_by <> 'SE0000000000-CANARY';
"""


def upgrade() -> None:
    for statements in (LOCKS, VERSIONS, NEXT, WATCH, HANDLING_TIMES):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("a case file is not undone; go forward with a new migration")
