-- The open cases that a unit is responsible for. $1: the unit.
select case_id, kind, priority
from omhand.cases
where responsible_unit = $1 and closed_at is null
order by case_id
