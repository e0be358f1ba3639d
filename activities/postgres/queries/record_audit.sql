-- An audit has been made. $1: when, $2: the number of cases, $3: what differs, as rows of case_id and fault,
-- $4: the cases of which each event was looked at, $5: the faults that only such a look can see.
with audited as (
    insert into omhand.audits (at, compared) values ($1, $2) on conflict (at) do update set compared = excluded.compared
), kept as (
    delete from omhand.audits where at < $1 - interval '30 days'
), found as (
    select case_id, fault from jsonb_to_recordset($3::jsonb) as new(case_id text, fault text)
), gone as (
    delete from omhand.findings as old
    where not exists (select from found where (found.case_id, found.fault) = (old.case_id, old.fault))
        and (old.fault <> all($5::text[]) or old.case_id = any($4::text[])
            or not exists (select from omhand.cases where cases.case_id = old.case_id and cases.closed_at is null))
)
insert into omhand.findings (case_id, fault, since, seen)
select case_id, fault, $1, $1 from found
on conflict (case_id, fault) do update set seen = excluded.seen
