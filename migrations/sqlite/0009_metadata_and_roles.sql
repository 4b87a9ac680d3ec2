-- Labels and annotations of members and tokens, and several roles of one user in one cluster: the strongest counts. SQLite cannot
-- drop a unique constraint, so that the table is built anew, and its triggers with it.

alter table tokens add column labels text not null default '{}';
alter table tokens add column annotations text not null default '{}';

alter table cluster_members add column labels text not null default '{}';
alter table cluster_members add column annotations text not null default '{}';

create table cluster_members_new (
    id text primary key not null,
    uuid text not null,
    cluster_id text not null references clusters (id) on delete cascade,
    user_id text not null references users (id) on delete cascade,
    role text not null check (role in ('cluster-owner', 'cluster-member', 'read-only')),
    created_ms integer not null,
    labels text not null default '{}',
    annotations text not null default '{}'
) strict;

-- It names the table that is replaced.
drop trigger users_disabled;

insert into cluster_members_new (id, uuid, cluster_id, user_id, role, created_ms, labels, annotations)
select id, uuid, cluster_id, user_id, role, created_ms, labels, annotations from cluster_members;

drop table cluster_members;

alter table cluster_members_new rename to cluster_members;

create index cluster_members_user_id on cluster_members (user_id);
create index cluster_members_cluster_id on cluster_members (cluster_id, user_id);

-- A user loses rights only when no role that is left is as strong, and never as the owner of the cluster.
create trigger cluster_members_removed after delete on cluster_members
when exists (select 1 from clusters where id = old.cluster_id and owner <> old.user_id)
and not exists (select 1 from cluster_members m where m.cluster_id = old.cluster_id and m.user_id = old.user_id
    and (m.role in (old.role, 'cluster-owner') or (m.role = 'cluster-member' and old.role = 'read-only')))
begin
    insert into cluster_revocations (cluster_id, user_id) values (old.cluster_id, old.user_id)
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
end;

create trigger cluster_members_demoted after update of role on cluster_members
when ((old.role = 'cluster-owner' and new.role <> 'cluster-owner') or (old.role = 'cluster-member' and new.role = 'read-only'))
and exists (select 1 from clusters where id = old.cluster_id and owner <> old.user_id)
and not exists (select 1 from cluster_members m where m.cluster_id = old.cluster_id and m.user_id = old.user_id
    and (m.role in (old.role, 'cluster-owner') or (m.role = 'cluster-member' and old.role = 'read-only')))
begin
    insert into cluster_revocations (cluster_id, user_id) values (new.cluster_id, new.user_id)
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
end;

create trigger users_disabled after update of enabled on users
when old.enabled = 1 and new.enabled = 0
begin
    insert into cluster_revocations (cluster_id, user_id)
    select id, new.id from clusters where owner = new.id or exists
    (select 1 from cluster_members m where m.cluster_id = clusters.id and m.user_id = new.id)
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
end;
