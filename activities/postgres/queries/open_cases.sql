-- All open cases, as the audit looks at them; whose rows they are is looked at closely only.
select case_id, seq, next_at
from omhand.cases
where closed_at is null
