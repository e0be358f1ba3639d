-- How a case was opened. $1: the case's id.
select run_id, kind, received_by, opened_profession, asker_case from omhand.cases where case_id = $1
