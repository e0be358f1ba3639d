-- A case and the consultations that it started, held until the transaction ends. $1: the case.
select case_id, closed_at from omhand.cases where case_id = $1 or asker_case = $1 order by case_id for update
