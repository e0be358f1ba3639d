-- The logs of several cases. $1: their ids.
select case_id, seq, at, event, by, detail from omhand.events where case_id = any($1::text[]) order by case_id, seq
