-- The gateway has taken a notification. $1: its key.
-- Also where it was withdrawn while it was on its way: it has gone out, and the log is to say so.
update omhand.notifications
set status = 'sent', sent_at = now(), error = null, withdrawn = false
where key = $1 and status <> 'sent'
returning channel
