-- $1: patient tokens; $2: what each becomes.
update omhand.cases set patient = made.token
from unnest($1::text[], $2::text[]) as made (old, token)
where patient = made.old
