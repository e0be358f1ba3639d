-- How consultations have ended. $1: their case ids. Those that are open, or that there are none of, give no row.
select cases.case_id, cases.outcome, cases.responsible_unit, said.event, said.by, said.detail
from omhand.cases
left join lateral (
    select event, by, detail
    from omhand.events
    where events.case_id = cases.case_id and event in ('answered', 'refused', 'closed', 'cancelled')
    order by event in ('answered', 'refused') desc, seq desc
    limit 1
) as said on true
where cases.case_id = any($1) and cases.closed_at is not null
order by array_position($1, cases.case_id)
