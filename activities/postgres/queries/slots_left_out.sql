-- Bookable times that a new directory leaves out. $1: the ids of its own ones, $2: its units, $3: its professions.
-- Those that the one before it had, and those of a unit or a profession that it has not: whoever published those.
-- One that is to leave when it is free has been found before.
select slot_id as id, case_id as held_by
from omhand.slots
where withdrawn_at is null and not leaves_when_freed
    and (from_directory and slot_id <> all($1) or unit_id <> all($2) or profession <> all($3))
order by slot_id
