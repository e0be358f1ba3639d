-- A run takes over a case that nothing watches any more. $1: its id, $2: its kind, $3: the run. No row: there is none.
update omhand.cases set run_id = $3
where case_id = $1 and kind = $2 and closed_at is null
returning case_id
