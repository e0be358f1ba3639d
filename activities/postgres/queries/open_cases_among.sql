-- Which of these cases are open, whichever unit is responsible. $1: their ids.
select case_id from omhand.cases where case_id = any($1) and closed_at is null
