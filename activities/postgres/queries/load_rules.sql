-- Stores a directory ($1) and a policy ($2) as a new version, unless the newest says the same; gives the version.
-- $3: the version whose rules are put back with them; null where they come of files.
with newest as (
    select version, directory, policy from omhand.rules order by version desc limit 1
), same as (
    select version from newest where directory = $1::jsonb and policy = $2::jsonb
), added as (
    insert into omhand.rules (version, directory, policy, restores)
    select coalesce((select version from newest), 0) + 1, $1::jsonb, $2::jsonb, $3::integer
    where not exists (select from same)
    returning version
)
select version from same union all select version from added
