-- Bookable times, withdrawn ones too. $1: their ids.
select slot_id as id, unit_id as unit, profession, starts_at, length, case_id as held_by, from_directory,
    withdrawn_at is not null as is_withdrawn
from omhand.slots
where slot_id = any($1)
