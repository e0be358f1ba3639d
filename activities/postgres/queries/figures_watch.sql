-- What the program says of itself: when it was last audited, when a canary was last brought to its end, and how long that
-- took. Where none has been yet, a canary counts from the first that was started.
select (select extract(epoch from max(at)) from omhand.audits) as audit_at,
    extract(epoch from coalesce((select max(finished_at) from omhand.canaries),
        (select min(started_at) from omhand.canaries))) as canary_at,
    (select extract(epoch from took) from omhand.canaries where finished_at is not null
        order by finished_at desc limit 1) as canary_seconds
