-- Events of a case that are missing among its rows; what it has not recorded yet is not written here. $1: the case,
-- $2: its log.
insert into omhand.events (case_id, seq, at, event, by, detail)
select $1, new.seq, new.at, new.event, new.by, new.detail
from jsonb_to_recordset($2::jsonb) as new(seq integer, at timestamptz, event text, by jsonb, detail jsonb)
where new.seq <= (select seq from omhand.cases where case_id = $1)
on conflict (case_id, seq) do nothing
