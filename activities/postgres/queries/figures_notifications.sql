-- The notifications that wait, how long the oldest has, and those of the last 24 hours that failed for good. One that was
-- withdrawn has not failed. $1: the canaries' unit.
select waiting.pending, waiting.oldest_seconds, failing.failed
from (
    select count(*) as pending, coalesce(extract(epoch from now() - min(created_at)), 0) as oldest_seconds
    from omhand.notifications
    where status = 'pending' and unit_id <> $1
) as waiting, (
    select count(*) as failed
    from omhand.notifications
    where status = 'failed' and not withdrawn and created_at > now() - interval '24 hours' and unit_id <> $1
) as failing
