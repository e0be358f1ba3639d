-- Bookable times are not bookable any more. $1: their ids. One that a case holds stays, and gives no row.
update omhand.slots
set withdrawn_at = now()
where slot_id = any($1) and case_id is null and withdrawn_at is null
returning slot_id
