-- Administrators have the rights of owners in every cluster. One who is disabled, demoted or removed may be named in bindings
-- of any of them.

create or replace function mark_disabled_user() returns trigger language plpgsql as $$
begin
    insert into cluster_revocations (cluster_id, user_id)
    select id, new.id from clusters where new.admin or owner = new.id or exists
    (select 1 from cluster_members m where m.cluster_id = clusters.id and m.user_id = new.id)
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
    return null;
end
$$;

create or replace function mark_demoted_administrator() returns trigger language plpgsql as $$
begin
    insert into cluster_revocations (cluster_id, user_id)
    select id, new.id from clusters where owner <> new.id and not exists (select 1 from cluster_members m
    where m.cluster_id = clusters.id and m.user_id = new.id and m.role = 'cluster-owner')
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
    return null;
end
$$;

create trigger administrators_demoted after update of admin on users
for each row when (old.admin and not new.admin)
execute function mark_demoted_administrator();

create or replace function mark_removed_administrator() returns trigger language plpgsql as $$
begin
    insert into cluster_revocations (cluster_id, user_id) select id, old.id from clusters
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
    return null;
end
$$;

create trigger administrators_removed after delete on users
for each row when (old.admin)
execute function mark_removed_administrator();
