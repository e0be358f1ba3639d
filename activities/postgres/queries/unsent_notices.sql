-- A case's notifications that have not gone out, and those that failed for good. $1: the case.
select key from omhand.notifications
where case_id = $1 and (status = 'pending' or (status = 'failed' and not withdrawn))
