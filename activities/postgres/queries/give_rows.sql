-- A case's rows are the run's that is the case now. $1: the case, $2: the run.
update omhand.cases set run_id = $2 where case_id = $1 and closed_at is null
