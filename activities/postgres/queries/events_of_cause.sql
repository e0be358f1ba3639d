-- What an action has made of a case. $1: the case's id, $2: the cause. No row: it has not come.
select seq, at, event, by, detail from omhand.events where case_id = $1 and cause = $2 order by seq
