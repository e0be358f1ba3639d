-- The last canary that has lived. No row: none has.
select finished_at, took
from omhand.canaries
where finished_at is not null
order by finished_at desc
limit 1
