-- What became of a notification whose row was written again. $1: its key, $2: its status, $3: why it failed, $4: when.
update omhand.notifications
set status = $2, error = $3, sent_at = case when $2 = 'sent' then $4::timestamptz end, withdrawn = withdrawn and $2 <> 'sent'
where key = $1 and (status = 'pending' or (status = 'failed' and $2 = 'sent'))
