-- How far a notification has come. $1: its key.
select channel, status, withdrawn, error from omhand.notifications where key = $1
