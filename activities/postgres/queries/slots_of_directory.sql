-- These bookable times, and no others, are the newest directory's. $1: their ids.
update omhand.slots
set from_directory = not from_directory
where from_directory <> (slot_id = any($1))
