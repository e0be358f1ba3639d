-- The cases that were accepted in the last 24 hours, canaries left out: how many in time, and after how long.
select coalesce(priority::text, 'none') as priority, count(*) filter (where in_time) as in_time,
    count(*) filter (where not in_time) as late,
    percentile_cont(array[0.5, 0.9]) within group (order by extract(epoch from accepted_at - opened_at)) as seconds
from omhand.handling_times
where accepted_at > now() - interval '24 hours'
group by priority
