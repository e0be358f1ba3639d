-- How a case was opened. $1: the case's id.
select run_id, kind, received_by, opened_profession from omhand.cases where case_id = $1
