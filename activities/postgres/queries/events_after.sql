-- The events of a case after one of them. $1: the case, $2: that one's number.
select seq, at, event, by, detail, cause
from omhand.events
where case_id = $1 and seq > $2
order by seq
