-- What a unit has for patients who want to book a time. $1: the unit, $2: the instant.
with free as (
    select profession from omhand.slots
    where unit_id = $1 and starts_at > $2 and case_id is null and withdrawn_at is null
)
select
    -- One that has had none for a month does not take bookings any more.
    exists (select from omhand.slots where unit_id = $1 and starts_at > $2 - interval '30 days') as has_published,
    exists (select from free) as has_free_ahead,
    exists (
        select from omhand.cases
        where responsible_unit = $1 and closed_at is null and status = 'ticket'
            and profession not in (select profession from free)
    ) as has_tickets_in_vain
