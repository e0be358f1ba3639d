-- Where the access log ends.
select entry, hash from omhand.access_head
