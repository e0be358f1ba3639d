-- The units that open cases need, and how many each: which are responsible, have their ticket, are asked to take them over,
-- or have published the time that is booked.
select unit_id, count(distinct case_id) as open_cases
from (
    select responsible_unit as unit_id, case_id from omhand.cases where closed_at is null
    union all
    select ticket_unit, case_id from omhand.cases where closed_at is null and ticket_unit is not null
    union all
    select offers.unit_id, case_id from omhand.offers where why = 'handover'
    union all
    select slots.unit_id, case_id from omhand.slots where case_id is not null
) as needed
group by unit_id
order by unit_id
