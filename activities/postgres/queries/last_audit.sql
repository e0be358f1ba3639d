-- The last audit, and how much differs now.
select max(at) as at, (array_agg(compared order by at desc))[1] as compared,
    (select count(*) from omhand.findings) as findings
from omhand.audits
