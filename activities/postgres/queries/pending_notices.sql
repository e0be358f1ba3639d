-- What has not gone out of a case's notifications. $1: the case.
select key from omhand.notifications where case_id = $1 and status = 'pending'
