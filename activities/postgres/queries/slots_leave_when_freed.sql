-- These bookable times, which cases hold, are withdrawn as soon as they are free. $1: their ids.
update omhand.slots set leaves_when_freed = true where slot_id = any($1) and case_id is not null
