-- The token of the patient whose case it is; null where it is of none. $1: the case.
select patient from omhand.cases where case_id = $1
