-- The next events of a case after one of them, so many bytes of them, and one at least. $1: the case, $2: that one's
-- number, $3: the bytes.
select seq, at, event, by, detail, cause
from (
    select *, sum(octet_length(detail::text)) over (order by seq) - octet_length(detail::text) as before
    from omhand.events
    where case_id = $1 and seq > $2
) as numbered
where before < $3
order by seq
