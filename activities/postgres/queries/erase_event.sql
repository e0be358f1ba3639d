-- $1, $2: a row of a log; $3: what is left of its detail.
update omhand.events set detail = $3 where case_id = $1 and seq = $2
