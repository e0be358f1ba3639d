-- An open case that is to be taken over. $1: its id. No row: there is none, or it is closed.
select kind, priority, responsible_unit from omhand.cases where case_id = $1 and closed_at is null
