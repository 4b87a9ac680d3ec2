-- Administrators have the rights of owners in every cluster. One who is disabled, demoted or removed may be named in bindings
-- of any of them.

drop trigger users_disabled;

create trigger users_disabled after update of enabled on users
when old.enabled = 1 and new.enabled = 0
begin
    insert into cluster_revocations (cluster_id, user_id)
    select id, new.id from clusters where new.admin = 1 or owner = new.id or exists
    (select 1 from cluster_members m where m.cluster_id = clusters.id and m.user_id = new.id)
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
end;

create trigger administrators_demoted after update of admin on users
when old.admin = 1 and new.admin = 0
begin
    insert into cluster_revocations (cluster_id, user_id)
    select id, new.id from clusters where owner <> new.id and not exists (select 1 from cluster_members m
    where m.cluster_id = clusters.id and m.user_id = new.id and m.role = 'cluster-owner')
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
end;

create trigger administrators_removed after delete on users
when old.admin = 1
begin
    insert into cluster_revocations (cluster_id, user_id)
    select id, old.id from clusters where true
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
end;
