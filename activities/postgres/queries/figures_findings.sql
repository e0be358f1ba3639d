-- What the last audit found to differ, by fault.
select fault, count(*) as findings
from omhand.findings
group by fault
