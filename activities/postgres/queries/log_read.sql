-- Somebody reads. $1: the case's id; $2: what they do; $3, $4: who, of which unit; $5: whether it is the patient;
-- $6: through what; $7: the unit whose list it is; $8: the token of the patient whose log it is.
select omhand.log_read($1, $2, $3, $4, $5, $6, $7, $8)
