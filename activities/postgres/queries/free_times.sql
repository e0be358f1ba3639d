-- What a unit has for patients who want to book a time. $1: the unit, $2: the instant.
select
    exists (select from omhand.slots where unit_id = $1) as has_published,
    exists (
        select from omhand.cases where responsible_unit = $1 and closed_at is null and status = 'ticket'
    ) as has_tickets,
    exists (
        select from omhand.slots
        where unit_id = $1 and starts_at > $2 and case_id is null and withdrawn_at is null
    ) as has_free_ahead
