-- Cases of which a notification has not gone out. $1: it is older than that.
select distinct case_id
from omhand.notifications
where status = 'pending' and created_at < $1
