-- The open cases, counted. $1: the canaries' unit, whose cases are nobody's. Overdue as the worklist says it.
select responsible_unit as unit, kind, status, coalesce(priority::text, 'none') as priority, count(*) as open,
    count(*) filter (where due_at <= now()) as overdue
from omhand.cases
where closed_at is null and responsible_unit <> $1
group by responsible_unit, kind, status, priority
