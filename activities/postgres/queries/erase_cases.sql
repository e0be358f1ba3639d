-- Nobody finds whose cases they were. $1: their ids.
update omhand.cases set patient = null, forgotten_at = coalesce(forgotten_at, now()) where case_id = any($1::text[])
