-- The version of the rules that were loaded last; null where none have been.
select max(version) from omhand.rules
