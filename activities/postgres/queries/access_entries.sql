-- All of the access log, in the order of its chain.
select entry, (extract(epoch from at) * 1000000)::bigint as at_microseconds, case_id, seq, nth, patient, staff, unit_id,
    by_patient, action, about, via, login, hash
from omhand.access
order by entry
