-- The secret that patient tokens are made with.
select secret from omhand.linking_secret
