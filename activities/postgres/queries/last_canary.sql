-- When the last canary came to its end, how long it took, and when the first of those that are kept was sent.
select max(finished_at) as finished_at, (array_agg(took order by finished_at desc nulls last))[1] as took,
    min(started_at) as began
from omhand.canaries
