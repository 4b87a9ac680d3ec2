-- What provisioning remembers beside a cluster, who else may use it, and what happened to it.
-- The columns up to `review` change with users' requests (guarded by `version`), the others with the worker (guarded by `fence`).

alter table clusters add column generation integer not null default 1;
alter table clusters add column removing_ms integer;
alter table clusters add column review text;
alter table clusters add column phase text not null default 'new' check (phase in ('new', 'creating', 'active', 'removing'));
alter table clusters add column claimed integer not null default 0 check (claimed in (0, 1));
alter table clusters add column applied_generation integer not null default 0;
alter table clusters add column applied_spec text;
alter table clusters add column operation text;
alter table clusters add column activated_ms integer;
alter table clusters add column refreshed_ms integer;
alter table clusters add column attempts integer not null default 0;
alter table clusters add column next_run_ms integer;
alter table clusters add column lease_until_ms integer not null default 0;
alter table clusters add column lease_by text;
alter table clusters add column fence integer not null default 0;

create index clusters_next_run_ms on clusters (next_run_ms) where next_run_ms is not null;

create table cluster_members (
    id text primary key not null,
    uuid text not null,
    cluster_id text not null references clusters (id) on delete cascade,
    user_id text not null references users (id) on delete cascade,
    role text not null check (role in ('cluster-owner', 'cluster-member', 'read-only')),
    created_ms integer not null,
    unique (cluster_id, user_id)
) strict;

create index cluster_members_user_id on cluster_members (user_id);

create table cluster_secrets (
    cluster_id text not null references clusters (id) on delete cascade,
    name text not null,
    key_id text not null,
    wrapped_key blob not null,
    ciphertext blob not null,
    created_ms integer not null,
    primary key (cluster_id, name)
) strict;

create index cluster_secrets_key_id on cluster_secrets (key_id);

create table registration_tokens (
    cluster_id text not null references clusters (id) on delete cascade,
    name text not null,
    uuid text not null,
    hash blob not null,
    created_ms integer not null,
    primary key (cluster_id, name)
) strict;

create table cluster_events (
    id text primary key not null,
    cluster_id text not null,
    at_ms integer not null,
    kind text not null,
    message text not null,
    data text not null
) strict, without rowid;

create index cluster_events_cluster_id on cluster_events (cluster_id, id);

alter table tokens add column cluster_id text references clusters (id) on delete cascade;
