-- Labels and annotations of members and tokens, and several roles of one user in one cluster: the strongest counts.

alter table tokens add column labels text not null default '{}';
alter table tokens add column annotations text not null default '{}';

alter table cluster_members add column labels text not null default '{}';
alter table cluster_members add column annotations text not null default '{}';
alter table cluster_members drop constraint cluster_members_cluster_id_user_id_key;

create index cluster_members_cluster_id on cluster_members (cluster_id, user_id);

-- A user loses rights only when no role that is left is as strong, and never as the owner of the cluster. For both triggers of
-- the table.
create or replace function mark_removed_member() returns trigger language plpgsql as $$
begin
    insert into cluster_revocations (cluster_id, user_id)
    select old.cluster_id, old.user_id
    where exists (select 1 from clusters where id = old.cluster_id and owner <> old.user_id)
    and not exists (select 1 from cluster_members m where m.cluster_id = old.cluster_id and m.user_id = old.user_id
        and (m.role in (old.role, 'cluster-owner') or (m.role = 'cluster-member' and old.role = 'read-only')))
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
    return null;
end
$$;
