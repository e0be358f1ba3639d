-- Notifications of a closing check, to be sent. $1: a list of rows, as activities.reports makes them.
insert into omhand.notifications (key, case_id, reason, unit_id, channel, recipient, kind, priority, text, until_taken,
    scope, status, error)
select key, case_id, reason, unit_id, channel, recipient, kind, priority, text, false, 'always', status, error
from jsonb_to_recordset($1::jsonb) as new(key text, case_id text, reason text, unit_id text, channel text, recipient text,
    kind text, priority integer, text text, status text, error text)
on conflict (key) do nothing
