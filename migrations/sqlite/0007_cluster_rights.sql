-- Rights inside clusters: which server keeps them, and whose leftovers are still to be removed.

create table cluster_watches (
    cluster_id text primary key not null references clusters (id) on delete cascade,
    holder text not null,
    lease_until_ms integer not null,
    announced_ms integer
) strict;

create index cluster_watches_holder on cluster_watches (holder);

-- A user who lost rights in a cluster. No foreign key to users: the mark outlives the user.
create table cluster_revocations (
    cluster_id text not null references clusters (id) on delete cascade,
    user_id text not null,
    scanned_ms integer,
    primary key (cluster_id, user_id)
) strict;

-- Triggers, so that the mark is part of the change whatever makes it: a removal, a cascade, or an older server of a
-- roll-out. A cluster that is deleted takes its members along and leaves no marks.
create trigger cluster_members_removed after delete on cluster_members
when exists (select 1 from clusters where id = old.cluster_id)
begin
    insert into cluster_revocations (cluster_id, user_id) values (old.cluster_id, old.user_id)
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
end;

create trigger cluster_members_demoted after update of role on cluster_members
when (old.role = 'cluster-owner' and new.role <> 'cluster-owner') or (old.role = 'cluster-member' and new.role = 'read-only')
begin
    insert into cluster_revocations (cluster_id, user_id) values (new.cluster_id, new.user_id)
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
end;

create trigger clusters_handed_over after update of owner on clusters
when old.owner <> new.owner
begin
    insert into cluster_revocations (cluster_id, user_id) values (new.id, old.owner)
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
