-- The kind of an open case. $1: its id. No row: there is none, or it is closed.
select kind from omhand.cases where case_id = $1 and closed_at is null
