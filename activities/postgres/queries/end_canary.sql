-- A canary has been closed. $1: its case id, $2: when. The first time counts.
update omhand.canaries
set finished_at = $2, took = $2 - started_at
where case_id = $1 and finished_at is null
