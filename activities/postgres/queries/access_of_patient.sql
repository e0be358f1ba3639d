-- What was done to or read of a patient's cases. $1: the tokens of the patient; $2, $3: from when and until when.
select at, action, case_id, unit_id as unit, omhand.unit_name(unit_id) as unit_name, staff, by_patient, via
from omhand.access
where (patient = any($1::text[]) or case_id in (select omhand.cases_of($1::text[]))) and at >= coalesce($2::timestamptz, '-infinity') and at < coalesce($3::timestamptz, 'infinity')
order by at, entry
