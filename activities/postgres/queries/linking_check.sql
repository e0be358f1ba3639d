-- Which linking key the patient tokens are made with, as a check of it; null: none.
select key_check from omhand.linking_secret
