-- The patient tokens that are made without the linking key.
select distinct patient from omhand.cases where patient is not null and patient not like '2.%'
