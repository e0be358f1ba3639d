-- Every version of the rules, the newest first.
select version, loaded_at, restores from omhand.rules order by version desc
