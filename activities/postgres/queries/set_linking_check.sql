-- $1: the check of the linking key.
update omhand.linking_secret set key_check = $1
