-- Ids and JSON are text, moments are milliseconds since 1970 (UTC), sealed bytes are bytea.
-- migrations/sqlite has a file of the same name with the same tables.
-- The names of unique constraints are PostgreSQL's own (`<table>_<column>_key`, `<table>_pkey`): store/error.rs reads them.
-- Collation "C" sorts by bytes, as SQLite does, so that lists come in the same order from both.

create table instance (
    key text collate "C" primary key not null,
    value text not null
);

create table users (
    id text collate "C" primary key not null,
    name text collate "C" not null unique,
    admin boolean not null,
    created_ms bigint not null
);

create table tokens (
    name text collate "C" primary key not null,
    user_id text collate "C" not null references users (id) on delete cascade,
    hash bytea not null,
    created_ms bigint not null,
    expires_ms bigint,
    last_used_ms bigint,
    description text not null
);

create index tokens_user_id on tokens (user_id);
create index tokens_expires_ms on tokens (expires_ms) where expires_ms is not null;

create table credentials (
    id text collate "C" primary key not null,
    uuid text not null,
    owner text collate "C" not null,
    name text not null,
    description text,
    labels text not null,
    annotations text not null,
    tenant_id text,
    subscription_id text,
    client_id text,
    environment text,
    key_id text collate "C",
    wrapped_key bytea,
    ciphertext bytea,
    created_ms bigint not null,
    updated_ms bigint not null,
    version bigint not null,
    check ((key_id is null) = (wrapped_key is null) and (key_id is null) = (ciphertext is null))
);

create index credentials_owner on credentials (owner);
create index credentials_key_id on credentials (key_id) where key_id is not null;

create table clusters (
    id text collate "C" primary key not null,
    uuid text not null,
    owner text collate "C" not null,
    name text not null,
    spec text not null,
    status text not null,
    credential_id text collate "C" references credentials (id),
    aks_identity text collate "C" unique,
    created_ms bigint not null,
    updated_ms bigint not null,
    version bigint not null
);

create index clusters_owner on clusters (owner);
create index clusters_credential_id on clusters (credential_id) where credential_id is not null;

create table settings (
    name text collate "C" primary key not null,
    value text not null,
    updated_ms bigint not null
);

create table events (
    id text collate "C" primary key not null,
    at_ms bigint not null,
    user_id text collate "C" not null,
    user_name text not null,
    token_name text not null,
    action text not null,
    object_type text collate "C" not null,
    object_id text collate "C" not null,
    outcome text not null,
    request_id text not null,
    remote text not null
);

create index events_at_ms on events (at_ms);
create index events_object on events (object_type, object_id, at_ms);

create table replicas (
    id text collate "C" primary key not null,
    started_ms bigint not null,
    seen_ms bigint not null,
    key_ids text not null
);
