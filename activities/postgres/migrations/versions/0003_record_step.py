"""Writing a step of a case: all of it or none, in one round trip.

Everything of a step is in one JSON object, made by `activities.records`. The case's row is locked first, so that two
writers of one case take turns. What has been written before is compared, never written again. Where it differs, a task
has written it that was lost before Temporal knew: it has happened, so nothing is written and it is given back. A gap or
another run is an error that says which case and where, never what.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RECORD_STEP = """
create function omhand.record_step(step jsonb) returns jsonb language plpgsql as $$
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
                    and (until_taken or told.closed_at is not null);
        end if;
    end if;

    insert into omhand.notifications (key, case_id, reason, unit_id, channel, recipient, kind, priority, due_at, text,
            until_taken, status, withdrawn, error)
        select key, told.case_id, reason, unit_id, channel, recipient, kind, priority, due_at, text,
            until_taken, status, withdrawn, error
        from jsonb_to_recordset(step -> 'notices') as new(key text, reason text, unit_id text, channel text,
            recipient text, kind text, priority integer, due_at timestamptz, text text, until_taken boolean,
            status text, withdrawn boolean, error text)
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
create function omhand.linked(this_case text) returns jsonb language sql stable as $$
    select coalesce(jsonb_agg(other.case_id order by other.case_id), '[]'::jsonb)
    from omhand.cases as this
    join omhand.cases as other on other.patient = this.patient
    where this.case_id = this_case and other.case_id <> this_case and other.closed_at is null
$$;
"""

DIFFERS = """
create function omhand.differs(this_case text, last_seq integer, events jsonb) returns boolean
language sql stable as $$
    select exists (
        select
        from jsonb_to_recordset(events) as new(seq integer, at timestamptz, event text, by jsonb, detail jsonb)
        left join omhand.events as old on old.case_id = this_case and old.seq = new.seq
        where new.seq <= last_seq
            and (old.at, old.event, old.by, old.detail) is distinct from (new.at, new.event, new.by, new.detail)
    )
$$;
"""

REPLACE_CASE = """
create function omhand.replace_case(told omhand.cases) returns void language sql as $$
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
        seq = told.seq
    where case_id = told.case_id
$$;
"""


def upgrade() -> None:
    for statements in (DIFFERS, LINKED, REPLACE_CASE, RECORD_STEP):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("a case file is not undone; go forward with a new migration")
