-- `aks_identity` claims an AKS cluster for a cluster object. A claim counts once Azure has answered with the object's
-- credential: then `identity_proved` is set. Servers of earlier versions write `aks_identity` with the object and leave the
-- mark alone; such a claim gives way to a proved one, until something was made in Azure.

alter table clusters add column identity_proved boolean not null default false;

update clusters set identity_proved = true
where aks_identity is not null and (activated_ms is not null or claimed);

update clusters set aks_identity = null where not identity_proved;
