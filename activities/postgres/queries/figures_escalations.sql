-- The escalations of the last 24 hours, by the unit that was responsible then: it is the one that was told of each.
-- $1: the canaries' unit.
select told.unit_id as unit, count(*) as escalations
from omhand.events
join omhand.notifications as told on told.key = events.detail ->> 'key'
where events.event = 'escalated' and events.at > now() - interval '24 hours' and told.unit_id <> $1
group by told.unit_id
