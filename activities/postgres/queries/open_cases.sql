-- All open cases, as the audit looks at them.
select case_id, true as is_open, seq, next_at
from omhand.cases
where closed_at is null
