-- Writes a step of a case. $1: the step, as activities.records makes it.
-- Gives the other open cases of the same patient, in the order of their ids.
select omhand.record_step($1::jsonb)
