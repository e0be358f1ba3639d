"""Handovers and consultations: whose the answer is, and which notifications go with it.

A consultation of a case names the case that asks, whose patient it is about; it is a part of that case, and so is not
listed among the patient's other cases. What a unit has to answer stands on its worklist as `consulted`; its time is the
answer's, whoever has accepted it meanwhile.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = """
alter table omhand.cases
    add column asker_case text;             -- of a consultation: the case that asks; null where there is none

alter table omhand.notifications
    -- How long it is of use: until the case ends, until the handover is answered, or whatever happens.
    add column scope text not null default 'case' check (scope in ('case', 'handover', 'always'));
"""

RECORD_STEP = """
create or replace function omhand.record_step(step jsonb) returns jsonb language plpgsql as $$
declare
    told    omhand.cases := jsonb_populate_record(null::omhand.cases, step -> 'case');
    stored  omhand.cases;
    first   integer := (step #>> '{events,0,seq}')::integer;  -- null where nothing happened
    written integer;
begin
    select * into stored from omhand.cases where case_id = told.case_id for update;
    if not found then
        if first is distinct from 1 then
            raise exception 'case %: step to % came before the first step', told.case_id, told.seq
                using errcode = 'OM002';
        end if;
        if told.asker_case is not null then
            -- Whom a case is about is known here: its consultations need not be told.
            told.patient := (select patient from omhand.cases where case_id = told.asker_case);
        end if;
        insert into omhand.cases select told.* on conflict (case_id) do nothing;
        if found then
            stored := told;
            stored.seq := 0;
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

LINKED = """
create or replace function omhand.linked(this_case text) returns jsonb language sql stable as $$
    select coalesce(jsonb_agg(other.case_id order by other.case_id), '[]'::jsonb)
    from omhand.cases as this
    join omhand.cases as other on other.patient = this.patient
    where this.case_id = this_case and other.case_id <> this_case and other.closed_at is null
        and this.asker_case is null and other.asker_case is null
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
    ) as linked_cases
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
        when was_late or (closed_at is null and accept_by <= now() and (accepted_at is null or kind = 'consultation'))
            then false
        when closed_at is null and (accepted_at is null or kind = 'consultation') then null
        else true
    end as in_time,
    highest_level as escalation_level
from omhand.cases;
"""


def upgrade() -> None:
    for statements in (COLUMNS, RECORD_STEP, LINKED, WORKLIST, HANDLING_TIMES):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("a case file is not undone; go forward with a new migration")
