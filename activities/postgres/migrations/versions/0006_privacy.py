"""Who may see and change what, and a log of it that cannot be changed unseen.

The access log becomes a chain: each entry holds the hash of the one before it, so that a changed, removed or inserted
entry shows (``activities/access.py`` checks it, and says what a chain alone cannot show).

Nobody logs in as one of the three roles; a login is made a member of one. Whoever migrates owns everything, and is a
member of none.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

LOCKS = """
-- All at once, and as record_step takes them. Whoever reads a view at this moment has its lock and waits for a table's: one
-- of the two has to give way, and `migrate` begins again.
lock table omhand.cases, omhand.events, omhand.offers, omhand.notifications, omhand.access in access exclusive mode;
"""

ACCESS = """
alter table omhand.access
    add check (at >= '1900-01-01' and at < '9999-01-01'),   -- what every reader can read
    alter column case_id drop not null,      -- null: a list, or what could not be told
    alter column seq drop not null,          -- null: not by a step of the case
    alter column nth drop not null,
    add column about text,                   -- the unit whose list was read
    add column via   text not null default 'case',   -- case, client, command or codec-server
    add column login text,                   -- who was connected to the database
    add column entry bigint,                 -- of the chain, from 1
    add column hash  bytea;                  -- of the entry before and of this one

create table omhand.access_head (
    only_one boolean primary key default true check (only_one),
    entry    bigint not null,
    hash     bytea not null
);
insert into omhand.access_head (entry, hash) values (0, sha256('omhand access log'::bytea));

-- What is hashed of an entry: each column as its length in bytes and itself, "-" for null. `activities/access.py` does
-- the same.
create function omhand.access_text(one omhand.access) returns bytea language sql stable as $$
    select convert_to(string_agg(coalesce(octet_length(field)::text || ':' || field, '-'), ',' order by place), 'UTF8')
    from unnest(array[
        one.entry::text, (extract(epoch from one.at) * 1000000)::bigint::text, one.case_id, one.seq::text, one.nth::text,
        one.patient, one.staff, one.unit_id, one.by_patient::text, one.action, one.about, one.via, one.login
    ]) with ordinality as fields (field, place)
$$;

-- With its owner's rights: whoever writes an entry may not touch the head by themselves. The head is locked last of
-- all that a transaction locks, so that nobody waits for somebody who waits.
create function omhand.chain_access() returns trigger language plpgsql security definer set search_path = '' as $$
declare
    head omhand.access_head;
begin
    select * into strict head from omhand.access_head for update;
    new.entry := head.entry + 1;
    new.login := session_user;
    new.hash := sha256(head.hash || omhand.access_text(new));
    update omhand.access_head set entry = new.entry, hash = new.hash;
    return new;
end
$$;

-- What has been logged by an earlier version begins the chain.
alter table omhand.access disable trigger append_only;
update omhand.access set entry = numbered.entry
    from (select ctid, row_number() over (order by at, case_id, seq, nth) as entry from omhand.access) as numbered
    where access.ctid = numbered.ctid;
alter table omhand.access add primary key (entry);
create function omhand.link(before bytea, entry bytea) returns bytea language sql immutable as $$
    select sha256(before || entry)
$$;
-- It begins as the head does.
create aggregate omhand.links(bytea) (sfunc = omhand.link, stype = bytea, initcond =
    '\\x178ba642613698aa7645f4e4a7bef0d20b45d04af864e8d1cdaa150286393584');
update omhand.access set hash = linked.hash
    from (select entry, omhand.links(omhand.access_text(access)) over (order by entry) as hash from omhand.access)
        as linked
    where access.entry = linked.entry;
update omhand.access_head set (entry, hash) = (
    select entry, hash from omhand.access
    union all select 0, access_head.hash
    order by entry desc limit 1);
drop aggregate omhand.links(bytea);
drop function omhand.link;
alter table omhand.access enable always trigger append_only;
alter table omhand.access alter column hash set not null;
create index access_by_patient on omhand.access (patient, at);
create trigger chained before insert on omhand.access for each row execute function omhand.chain_access();
alter table omhand.access enable always trigger chained;

-- Somebody reads, or tries to. Readers may add to the log by this alone: who they say that they are is theirs to say, and
-- the login is not. `patient` is the token of whoever's log is read.
create function omhand.log_read(
    case_id text, action text, staff text, unit_id text, by_patient boolean, via text, about text, patient text
) returns void language plpgsql security definer set search_path = '' as $$
begin
    if via not in ('client', 'command', 'codec-server') or greatest(length(case_id), length(action), length(staff),
            length(unit_id), length(about), length(patient)) > 300 then
        raise exception 'this is no read' using errcode = 'OM007';
    end if;
    insert into omhand.access (at, case_id, patient, staff, unit_id, by_patient, action, via, about)
    values (clock_timestamp(), $1, coalesce((select cases.patient from omhand.cases where cases.case_id = $1), $8), $3,
        $4, $5, $2, $6, $7);
end
$$;

create or replace view omhand.access_log as
select at, case_id, patient, staff, unit_id, action, by_patient, about, via, login, entry
from omhand.access;
"""

LINKING_KEY = """
-- Which key outside the database the patient tokens are made with, beside the secret here; null: none yet.
alter table omhand.linking_secret add column key_check text;

create function omhand.refuse_old_token() returns trigger language plpgsql security definer set search_path = '' as $$
begin
    if new.patient not like '2.%' and exists (select from omhand.linking_secret where key_check is not null) then
        raise exception 'case %: its patient token is made without the linking key', new.case_id using errcode = 'OM006';
    end if;
    return new;
end
$$;
create trigger linked_by_key before insert on omhand.cases for each row execute function omhand.refuse_old_token();
"""

FORGETTING = """
alter table omhand.cases add column forgotten_at timestamptz;   -- what staff and the patient wrote has been erased
"""

WORKLIST = """
-- Other open cases of the same patient, also those that the reader may not see: that there are some has to be known.
create function omhand.open_beside(this_case text) returns text[] language sql stable
security definer set search_path = '' as $$
    select array(
        select other.case_id
        from omhand.cases as this join omhand.cases as other on other.patient = this.patient
        where this.case_id = this_case
            and (omhand.reads_case(this_case) or has_table_privilege(session_user, 'omhand.cases', 'update')) and other.case_id <> this_case and other.closed_at is null
            and other.asker_case is null and this.asker_case is null
        order by other.case_id
    )
$$;

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
    omhand.open_beside(cases.case_id) as linked_cases,
    cases.patient_region,
    cases.out_of_region
from standing
join omhand.cases using (case_id)
where cases.closed_at is null;
"""

ROLES = """
do $$
declare
    role text;
begin
    foreach role in array array['omhand_worker', 'omhand_reader', 'omhand_auditor'] loop
        begin
            if not exists (select from pg_roles where rolname = role) then
                execute format('create role %I nologin', role);
            end if;
        exception
            -- Roles are the whole server's: another database of it may be making them at this moment.
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise exception 'the role % is missing: create it, or let this login create roles', role;
        end;
    end loop;
end
$$;
"""

READERS = """
-- Which unit's cases a login that is an omhand_reader sees; '*' is every unit's. One that stands here nowhere sees none.
create table omhand.readers (
    login   text not null,
    unit_id text not null,
    primary key (login, unit_id)
);

create function omhand.reads_of(unit text) returns boolean language sql stable
security definer set search_path = '' as $$
    select exists (select from omhand.readers where login = session_user and unit_id in (unit, '*'))
$$;

-- Of a case in which the reader's unit has a part: it has it, received it or took it, is asked to take it, or asked a
-- colleague about it.
create function omhand.reads_case(this_case text) returns boolean language sql stable
security definer set search_path = '' as $$
    select exists (
        select
        from omhand.readers
        where login = session_user and (unit_id = '*'
            or unit_id in (
                select unnest(array[responsible_unit, received_by, accepted_by_unit]) from omhand.cases
                where case_id = this_case
            )
            or unit_id in (select offers.unit_id from omhand.offers where case_id = this_case)
            or unit_id in (
                select asker.responsible_unit
                from omhand.cases as asked join omhand.cases as asker on asker.case_id = asked.asker_case
                where asked.case_id = this_case
            ))
    )
$$;

alter table omhand.cases enable row level security;
alter table omhand.offers enable row level security;
alter table omhand.events enable row level security;
alter table omhand.notifications enable row level security;
alter table omhand.access enable row level security;
create policy served on omhand.cases to omhand_worker using (true) with check (true);
create policy served on omhand.offers to omhand_worker using (true) with check (true);
create policy served on omhand.events to omhand_worker using (true) with check (true);
create policy served on omhand.notifications to omhand_worker using (true) with check (true);
create policy served on omhand.access to omhand_worker using (true) with check (true);
create policy audited on omhand.access for select to omhand_auditor using (true);
create policy of_unit on omhand.cases for select to omhand_reader using (omhand.reads_case(case_id));
create policy of_unit on omhand.offers for select to omhand_reader using (omhand.reads_of(unit_id));
create policy of_unit on omhand.events for select to omhand_reader using (omhand.reads_case(case_id));
create policy of_unit on omhand.notifications for select to omhand_reader using (omhand.reads_of(unit_id));
create policy of_unit on omhand.access for select to omhand_reader
    using (case when case_id is null then omhand.reads_of(about) else omhand.reads_case(case_id) end);

-- What a command has to know of the directory, without the rest of it.
create function omhand.professions_of(staff text, unit text) returns setof text language sql stable
security definer set search_path = '' as $$
    select distinct work ->> 'profession' as profession
    from (select directory from omhand.rules order by version desc limit 1) as newest,
        jsonb_array_elements(directory -> 'staff') as member,
        jsonb_array_elements(member -> 'works_at') as work
    where member ->> 'id' = $1 and work ->> 'unit' = $2 and coalesce((member ->> 'active')::boolean, true)
    order by profession
$$;

create function omhand.cases_of(tokens text[]) returns setof text language sql stable
security definer set search_path = '' as $$
    select case_id from omhand.cases where patient = any(tokens)
$$;
create function omhand.unit_name(unit text) returns text language sql stable
security definer set search_path = '' as $$
    select each ->> 'name'
    from (select directory from omhand.rules order by version desc limit 1) as newest,
        jsonb_array_elements(directory -> 'unit') as each
    where each ->> 'id' = unit
$$;
"""

RIGHTS = """
-- A view reads with its reader's rights, so that the policies count.
alter view omhand.worklist set (security_invoker = true);
alter view omhand.case_log set (security_invoker = true);
alter view omhand.notification_log set (security_invoker = true);
alter view omhand.handling_times set (security_invoker = true);
alter view omhand.access_log set (security_invoker = true);

revoke all on schema omhand from public;
revoke execute on all functions in schema omhand from public;
grant usage on schema omhand to omhand_worker, omhand_reader, omhand_auditor;

-- The worker changes what changes, and only ever adds to a log.
grant select, insert, update, delete
    on omhand.cases, omhand.offers, omhand.notifications, omhand.slots, omhand.rules to omhand_worker;
grant select, insert on omhand.events, omhand.access to omhand_worker;
grant select, update (key_check) on omhand.linking_secret to omhand_worker;
grant select on omhand.alembic_version, omhand.worklist, omhand.case_log, omhand.notification_log,
    omhand.handling_times, omhand.access_log, omhand.bookable_times to omhand_worker;
grant execute on all functions in schema omhand to omhand_worker;

grant select on omhand.cases, omhand.offers, omhand.events, omhand.notifications, omhand.access, omhand.worklist,
    omhand.case_log, omhand.notification_log, omhand.handling_times, omhand.access_log, omhand.bookable_times
    to omhand_reader;
grant execute on function omhand.log_read, omhand.reads_of, omhand.reads_case, omhand.open_beside,
    omhand.professions_of, omhand.unit_name to omhand_reader;

-- The auditor reads the access log, and can tell whose an entry is.
grant select on omhand.access, omhand.access_head, omhand.access_log, omhand.linking_secret to omhand_auditor;
grant execute on function omhand.log_read, omhand.unit_name, omhand.cases_of to omhand_auditor;
"""


def upgrade() -> None:
    for statements in (LOCKS, ACCESS, LINKING_KEY, FORGETTING, ROLES, READERS, WORKLIST, RIGHTS):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("a case file is not undone; go forward with a new migration")
