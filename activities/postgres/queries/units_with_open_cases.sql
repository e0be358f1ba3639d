-- The units that are responsible for an open case, and how many each has.
select responsible_unit as unit_id, count(*) as open_cases
from omhand.cases
where closed_at is null
group by responsible_unit
order by responsible_unit
