-- What provisioning remembers beside a cluster, who else may use it, and what happened to it.
-- The columns up to `review` change with users' requests (guarded by `version`), the others with the worker (guarded by `fence`).

alter table clusters add column generation bigint not null default 1;
alter table clusters add column removing_ms bigint;
alter table clusters add column review text;
alter table clusters add column phase text not null default 'new' check (phase in ('new', 'creating', 'active', 'removing'));
alter table clusters add column claimed boolean not null default false;
alter table clusters add column applied_generation bigint not null default 0;
alter table clusters add column applied_spec text;
alter table clusters add column operation text;
alter table clusters add column activated_ms bigint;
alter table clusters add column refreshed_ms bigint;
alter table clusters add column attempts bigint not null default 0;
alter table clusters add column next_run_ms bigint;
alter table clusters add column lease_until_ms bigint not null default 0;
alter table clusters add column lease_by text;
alter table clusters add column fence bigint not null default 0;

create index clusters_next_run_ms on clusters (next_run_ms) where next_run_ms is not null;

create table cluster_members (
    id text collate "C" primary key not null,
    uuid text not null,
    cluster_id text collate "C" not null references clusters (id) on delete cascade,
    user_id text collate "C" not null references users (id) on delete cascade,
    role text not null check (role in ('cluster-owner', 'cluster-member', 'read-only')),
    created_ms bigint not null,
    unique (cluster_id, user_id)
);

create index cluster_members_user_id on cluster_members (user_id);

create table cluster_secrets (
    cluster_id text collate "C" not null references clusters (id) on delete cascade,
    name text collate "C" not null,
    key_id text collate "C" not null,
    wrapped_key bytea not null,
    ciphertext bytea not null,
    created_ms bigint not null,
    primary key (cluster_id, name)
);

create index cluster_secrets_key_id on cluster_secrets (key_id);

create table registration_tokens (
    cluster_id text collate "C" not null references clusters (id) on delete cascade,
    name text collate "C" not null,
    uuid text not null,
    hash bytea not null,
    created_ms bigint not null,
    primary key (cluster_id, name)
);

create table cluster_events (
    id text collate "C" primary key not null,
    cluster_id text collate "C" not null,
    at_ms bigint not null,
    kind text not null,
    message text not null,
    data text not null
);

create index cluster_events_cluster_id on cluster_events (cluster_id, id);

alter table tokens add column cluster_id text collate "C" references clusters (id) on delete cascade;
