"""Bookable times (K2, P2, P3), and out-of-region patients (P7).

A time is a row, and the case that holds it stands in it: two cases cannot hold one time. A case stands in one row at
most: it cannot hold two. Holding is a part of the step that books, so that what the log says and what is held agree.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LOCKS = """
-- Whoever reads a view has its lock and waits for the table's: taken in the same order, nobody waits for one who waits.
lock table omhand.worklist, omhand.handling_times in access exclusive mode;
"""

SLOTS = """
create table omhand.slots (
    slot_id        text collate "C" primary key,
    unit_id        text not null,
    profession     text not null,
    starts_at      timestamptz not null,
    length         interval not null,
    case_id        text collate "C" unique,  -- that holds it; null: it is free
    from_directory boolean not null default false,  -- the newest directory has it, also where it was withdrawn
    leaves_when_freed boolean not null default false,  -- left out by its directory while it was held
    published_at   timestamptz not null default now(),
    withdrawn_at   timestamptz,              -- not bookable any more
    check (case_id is null or withdrawn_at is null)
);
create index slots_by_unit on omhand.slots (unit_id, starts_at);
create index slots_free on omhand.slots (starts_at) where case_id is null and withdrawn_at is null;

create view omhand.bookable_times as
select slot_id, unit_id, profession, starts_at, length, case_id is null as is_free
from omhand.slots
where withdrawn_at is null;

-- The times of a directory that has been loaded by an earlier version are bookable from now on.
insert into omhand.slots (slot_id, unit_id, profession, starts_at, length, from_directory)
select slot ->> 'id', slot ->> 'unit', slot ->> 'profession', (slot ->> 'starts_at')::timestamptz,
    (slot ->> 'length')::interval, true
from (select directory from omhand.rules order by version desc limit 1) as newest,
    jsonb_array_elements(newest.directory -> 'slot') as slot;
"""

COLUMNS = """
alter table omhand.cases
    add column slot           text,          -- that it holds now
    add column ticket_unit    text,          -- that has the case while nothing is booked, of a visit with a ticket
    add column patient_region text,          -- the patient's county; null where it is not known
    add column out_of_region  boolean not null default false;
"""

HOLD_SLOT = """
-- The case leaves the time that it had and holds another; either may be null.
--
-- Nobody waits for somebody who waits for them: a step locks its case's row first, and nobody locks one after a time's;
-- of two times the one with the lower id is locked first, so that two cases that want each other's take turns; and
-- whoever publishes times locks the whole table before anything in it, and after that waits for nobody.
--
-- A time that has been moved since it was looked at is another one: the patient was told of the first.
create function omhand.hold_slot(this_case text, had text, wanted text, of_unit text, at timestamptz) returns void
language plpgsql as $$
begin
    perform from omhand.slots where slot_id in (had, wanted) order by slot_id for update;
    update omhand.slots
        set case_id = null, withdrawn_at = case when leaves_when_freed then now() end
        where slot_id = had and case_id = this_case;
    if wanted is null then
        return;
    end if;
    update omhand.slots set case_id = this_case
        where slot_id = wanted and case_id is null and withdrawn_at is null
            and unit_id = of_unit and starts_at = at;
    if found then
        return;
    end if;
    if exists (select from omhand.slots where slot_id = wanted and case_id is not null) then
        raise exception 'case %: the time is taken', this_case using errcode = 'OM004';
    end if;
    raise exception 'case %: there is no such bookable time, or not any more', this_case using errcode = 'OM005';
end
$$;
"""

RECORD_STEP = """
create or replace function omhand.record_step(step jsonb) returns jsonb language plpgsql as $$
declare
    told    omhand.cases := jsonb_populate_record(null::omhand.cases, step -> 'case');
    stored  omhand.cases;
    first   integer := (step #>> '{events,0,seq}')::integer;  -- null where nothing happened
    had     text;                                              -- the time that the case held before
    written integer;
begin
    told.out_of_region := coalesce(told.out_of_region, false);
    select * into stored from omhand.cases where case_id = told.case_id for update;
    if not found then
        if first is distinct from 1 then
            raise exception 'case %: step to % came before the first step', told.case_id, told.seq
                using errcode = 'OM002';
        end if;
        if told.asker_case is not null then
            -- Whom a case is about is known here: its consultations need not be told.
            select patient, patient_region, out_of_region
                into told.patient, told.patient_region, told.out_of_region
                from omhand.cases where case_id = told.asker_case;
            told.out_of_region := coalesce(told.out_of_region, false);  -- where the asking case is not known
        end if;
        insert into omhand.cases select told.* on conflict (case_id) do nothing;
        if found then
            stored := told;
            stored.seq := 0;
            stored.slot := null;
        else
            select * into strict stored from omhand.cases where case_id = told.case_id for update;
        end if;
    end if;
    if stored.run_id <> told.run_id then
        raise exception 'case % exists: it was opened by another run', told.case_id using errcode = 'OM001';
    end if;
    if first <= stored.seq and omhand.differs(told.case_id, stored.seq, step -> 'events') then
        return jsonb_build_object('linked', omhand.linked(told.case_id), 'ahead', (
            select jsonb_agg(jsonb_build_object('cause', cause, 'event', jsonb_build_object(
                'seq', seq, 'at', at, 'event', event, 'by', by, 'detail', detail)) order by seq)
            from omhand.events
            where case_id = told.case_id and seq >= first
        ));
    end if;

    if told.seq > stored.seq then
        insert into omhand.events (case_id, seq, at, event, by, detail, cause)
            select told.case_id, seq, at, event, by, detail, step ->> 'cause'
            from jsonb_to_recordset(step -> 'events')
                as new(seq integer, at timestamptz, event text, by jsonb, detail jsonb)
            where seq > stored.seq and seq <= told.seq;
        get diagnostics written = row_count;
        if written <> told.seq - stored.seq then
            raise exception 'case %: events are missing between % and %', told.case_id, stored.seq, told.seq
                using errcode = 'OM002';
        end if;
        had := stored.slot;
        if told.slot is distinct from had then
            perform omhand.hold_slot(told.case_id, had, told.slot, step #>> '{booking,unit}',
                (step #>> '{booking,starts_at}')::timestamptz);
        end if;
        if stored.seq > 0 then
            perform omhand.replace_case(told);
            delete from omhand.offers where case_id = told.case_id;
        end if;
        insert into omhand.offers (case_id, offer, unit_id, profession, staff, why, since, answer_by)
            select told.case_id, offer, unit, profession, staff, why, since, answer_by
            from jsonb_to_recordset(step -> 'offers') as new(offer text, unit text, profession text, staff text,
                why text, since timestamptz, answer_by timestamptz);
        if (step ->> 'takes')::boolean then
            -- A case that has ended withdraws all; one that has been taken only what asked for that.
            update omhand.notifications
                set status = 'failed', withdrawn = true, error = step ->> 'withdrawal'
                where case_id = told.case_id and status = 'pending'
                    and (until_taken or told.closed_at is not null) and scope <> 'always';
        end if;
        if (step ->> 'settles')::boolean then
            update omhand.notifications
                set status = 'failed', withdrawn = true, error = step ->> 'settled'
                where case_id = told.case_id and status = 'pending' and scope = 'handover';
        end if;
    end if;

    insert into omhand.notifications (key, case_id, reason, unit_id, channel, recipient, kind, priority, due_at, text,
            until_taken, scope, status, withdrawn, error)
        select key, told.case_id, reason, unit_id, channel, recipient, kind, priority, due_at, text,
            until_taken, coalesce(scope, 'case'), status, withdrawn, error
        from jsonb_to_recordset(step -> 'notices') as new(key text, reason text, unit_id text, channel text,
            recipient text, kind text, priority integer, due_at timestamptz, text text, until_taken boolean,
            scope text, status text, withdrawn boolean, error text)
        on conflict (key) do nothing;

    -- A step in which nothing happened may have been written before, too: then its rows are here.
    insert into omhand.access (at, case_id, seq, nth, patient, staff, unit_id, by_patient, action)
        select new.at, told.case_id, told.seq, new.nth, stored.patient, new.staff, new.unit_id, new.by_patient, new.action
        from jsonb_to_recordset(step -> 'access') as new(at timestamptz, nth integer, staff text, unit_id text,
            by_patient boolean, action text)
        where not exists (
            select from omhand.access as old
            where old.case_id = told.case_id and old.seq = told.seq
                and (old.at, old.nth, old.staff, old.unit_id, old.by_patient, old.action)
                    is not distinct from (new.at, new.nth, new.staff, new.unit_id, new.by_patient, new.action)
        );

    return jsonb_build_object('linked', omhand.linked(told.case_id), 'ahead', '[]'::jsonb);
end
$$;
"""

REPLACE_CASE = """
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
        seq = told.seq
    where case_id = told.case_id
$$;
"""

WORKLIST = """
create or replace view omhand.worklist as
with standing as (
    select responsible_unit as unit_id, case kind when 'consultation' then 'consulted' else 'responsible' end as stands,
        case_id
    from omhand.cases
    where closed_at is null
    union all
    select unit_id, stands, case_id
    from (
        -- A unit has one row a case, however many offers: what asks most of it wins.
        select distinct on (offers.unit_id, offers.case_id) offers.unit_id, offers.case_id,
            case offers.why
                when 'handover' then 'handover'
                when 'consultation' then 'consulted'
                else 'offered'
            end as stands
        from omhand.offers
        order by offers.unit_id, offers.case_id,
            case offers.why when 'handover' then 1 when 'consultation' then 2 else 3 end
    ) as asked
    where not exists (
        select from omhand.cases
        where cases.case_id = asked.case_id and cases.responsible_unit = asked.unit_id
    )
)
select
    standing.unit_id,
    standing.stands,
    cases.case_id,
    cases.kind,
    cases.status,
    cases.priority,
    cases.profession,
    cases.responsible_unit,
    cases.assigned_to,
    cases.escalation_level,
    cases.due_at,
    coalesce(cases.due_at <= now(), false) as overdue,
    cases.opened_at,
    array(
        select other.case_id
        from omhand.cases as other
        where other.patient = cases.patient and other.case_id <> cases.case_id and other.closed_at is null
            and other.asker_case is null and cases.asker_case is null
        order by other.case_id
    ) as linked_cases,
    cases.patient_region,
    cases.out_of_region
from standing
join omhand.cases using (case_id)
where cases.closed_at is null;
"""

HANDLING_TIMES = """
create or replace view omhand.handling_times as
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
from omhand.cases;
"""


def upgrade() -> None:
    for statements in (LOCKS, SLOTS, COLUMNS, HOLD_SLOT, REPLACE_CASE, RECORD_STEP, WORKLIST, HANDLING_TIMES):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("a case file is not undone; go forward with a new migration")
