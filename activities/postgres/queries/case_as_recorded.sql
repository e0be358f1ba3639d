-- A case, as the audit looks at it. $1: its id.
select closed_at is null as is_open, seq, next_at, run_id
from omhand.cases
where case_id = $1
