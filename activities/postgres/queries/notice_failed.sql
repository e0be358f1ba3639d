-- The gateway has refused a notification for good. $1: its key, $2: why. One that was withdrawn stays so.
update omhand.notifications
set status = 'failed', error = $2
where key = $1 and status = 'pending'
