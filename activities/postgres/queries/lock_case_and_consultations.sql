-- A case and the consultations that came of it, held until the transaction ends. $1: the case.
with recursive of_case as (
    select case_id from omhand.cases where case_id = $1
    union
    select asked.case_id from omhand.cases as asked join of_case on asked.asker_case = of_case.case_id
)
select case_id, closed_at from omhand.cases where case_id in (select case_id from of_case) order by case_id for update
