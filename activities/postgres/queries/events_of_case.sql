-- A case's log. $1: its id.
select seq, at, event, by, detail from omhand.events where case_id = $1 order by seq
