-- These bookable times, and no others, are the newest directory's. $1: their ids. Those stay, though they are free again.
update omhand.slots
set from_directory = (slot_id = any($1)), leaves_when_freed = leaves_when_freed and slot_id <> all($1)
where from_directory <> (slot_id = any($1)) or leaves_when_freed and slot_id = any($1)
