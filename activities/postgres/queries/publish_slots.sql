-- Bookable times are published, or published otherwise than before. $1: a list of them, as the directory's file has them.
insert into omhand.slots (slot_id, unit_id, profession, starts_at, length)
select id, unit, profession, starts_at, length
from jsonb_to_recordset($1::jsonb) as new(id text, unit text, profession text, starts_at timestamptz, length interval)
on conflict (slot_id) do update
set unit_id = excluded.unit_id,
    profession = excluded.profession,
    starts_at = excluded.starts_at,
    length = excluded.length,
    published_at = excluded.published_at,
    withdrawn_at = null,
    leaves_when_freed = false
