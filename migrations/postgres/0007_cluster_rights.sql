-- Rights inside clusters: which server keeps them, and whose leftovers are still to be removed.

create table cluster_watches (
    cluster_id text collate "C" primary key not null references clusters (id) on delete cascade,
    holder text collate "C" not null,
    lease_until_ms bigint not null,
    announced_ms bigint
);

create index cluster_watches_holder on cluster_watches (holder);

-- A user who lost rights in a cluster. No foreign key to users: the mark outlives the user.
create table cluster_revocations (
    cluster_id text collate "C" not null references clusters (id) on delete cascade,
    user_id text collate "C" not null,
    scanned_ms bigint,
    primary key (cluster_id, user_id)
);

-- Triggers, so that the mark is part of the change whatever makes it: a removal, a cascade, or an older server of a
-- roll-out. A cluster that is deleted takes its members along and leaves no marks.
create or replace function mark_removed_member() returns trigger language plpgsql as $$
begin
    insert into cluster_revocations (cluster_id, user_id)
    select old.cluster_id, old.user_id where exists (select 1 from clusters where id = old.cluster_id)
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
    return null;
end
$$;

create trigger cluster_members_removed after delete on cluster_members
for each row execute function mark_removed_member();

create trigger cluster_members_demoted after update of role on cluster_members
for each row
when ((old.role = 'cluster-owner' and new.role <> 'cluster-owner') or (old.role = 'cluster-member' and new.role = 'read-only'))
execute function mark_removed_member();

create or replace function mark_former_owner() returns trigger language plpgsql as $$
begin
    insert into cluster_revocations (cluster_id, user_id) values (new.id, old.owner)
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
    return null;
end
$$;

create trigger clusters_handed_over after update of owner on clusters
for each row when (old.owner <> new.owner)
execute function mark_former_owner();

create or replace function mark_disabled_user() returns trigger language plpgsql as $$
begin
    insert into cluster_revocations (cluster_id, user_id)
    select id, new.id from clusters where owner = new.id or exists
    (select 1 from cluster_members m where m.cluster_id = clusters.id and m.user_id = new.id)
    on conflict (cluster_id, user_id) do update set scanned_ms = null;
    return null;
end
$$;

create trigger users_disabled after update of enabled on users
for each row when (old.enabled and not new.enabled)
execute function mark_disabled_user();
