-- A directory and a policy. $1: their version.
select directory, policy from omhand.rules where version = $1
