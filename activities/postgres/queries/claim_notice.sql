-- An attempt at a notification begins. $1: its key. No row: there is no such notification, or it is not pending.
update omhand.notifications
set attempts = attempts + 1
where key = $1 and status = 'pending'
returning key, case_id, reason, unit_id, channel, recipient, kind, priority, due_at, text
