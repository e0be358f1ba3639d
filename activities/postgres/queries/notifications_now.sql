-- Notifications: how many are on their way, for how long the oldest, and how many have failed. $1: since when.
select count(*) filter (where status = 'pending') as pending,
    now() - min(created_at) filter (where status = 'pending') as oldest,
    count(*) filter (where status = 'failed') as failed
from omhand.notifications
where status = 'pending' or (status = 'failed' and not withdrawn and created_at > $1)
