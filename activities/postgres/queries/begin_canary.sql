-- A canary is sent. $1: its case id, $2: when, $3: the canaries' unit. Gives those of before that are still open.
with begun as (
    insert into omhand.canaries (case_id, started_at) values ($1, $2) on conflict (case_id) do nothing
), forgotten as (
    delete from omhand.canaries where started_at < $2 - interval '30 days'
)
select case_id
from omhand.cases
where responsible_unit = $3 and closed_at is null and opened_at < $2 - interval '10 minutes'
order by case_id
