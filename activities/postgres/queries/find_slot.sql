-- A bookable time. $1: its id. No row: there is none of that id, or not any more.
select slot_id as id, unit_id as unit, profession, starts_at, length, case_id as held_by
from omhand.slots
where slot_id = $1 and withdrawn_at is null
