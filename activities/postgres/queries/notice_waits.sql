-- An attempt at a notification was in vain, and there will be another. $1: its key, $2: why.
update omhand.notifications
set error = $2
where key = $1 and status = 'pending'
