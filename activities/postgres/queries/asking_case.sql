-- How a case looks at a consultation that it has asked for. $1: its case id, $2: the consultation's.
select cases.closed_at is not null as closed, withdrawn.by as withdrawn_by, withdrawn.seq is not null as withdrawn
from omhand.cases
left join omhand.events as withdrawn
    on withdrawn.case_id = cases.case_id and withdrawn.event = 'consultation_withdrawn'
    and withdrawn.detail ->> 'consultation' = $2
where cases.case_id = $1
limit 1
