-- How consultations have ended. $1: their case ids, $2: the case that asked. Those that are open give no row, nor does a
-- case of such an id that is not that case's. What a consultation has been told of its own consultations is no answer.
select cases.case_id, cases.outcome, cases.responsible_unit, said.event, said.by, said.detail
from omhand.cases
left join lateral (
    select event, by, detail
    from omhand.events
    where events.case_id = cases.case_id
        and (event in ('closed', 'cancelled')
            or event in ('answered', 'refused') and detail ->> 'consultation' is null)
    order by event in ('answered', 'refused') desc, seq desc
    limit 1
) as said on true
where cases.case_id = any($1) and cases.asker_case = $2 and cases.closed_at is not null
order by array_position($1, cases.case_id)
