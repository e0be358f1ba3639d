-- Which of these cases Postgres knows. $1: their ids.
select case_id from omhand.cases where case_id = any($1)
