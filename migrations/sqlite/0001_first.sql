-- Ids and JSON are text, moments are milliseconds since 1970 (UTC), sealed bytes are blobs.
-- migrations/postgres has a file of the same name with the same tables.

create table instance (
    key text primary key not null,
    value text not null
) strict, without rowid;

create table users (
    id text primary key not null,
    name text not null unique,
    admin integer not null check (admin in (0, 1)),
    created_ms integer not null
) strict;

create table tokens (
    name text primary key not null,
    user_id text not null references users (id) on delete cascade,
    hash blob not null,
    created_ms integer not null,
    expires_ms integer,
    last_used_ms integer,
    description text not null
) strict;

create index tokens_user_id on tokens (user_id);
create index tokens_expires_ms on tokens (expires_ms) where expires_ms is not null;

create table credentials (
    id text primary key not null,
    uuid text not null,
    owner text not null,
    name text not null,
    description text,
    labels text not null,
    annotations text not null,
    tenant_id text,
    subscription_id text,
    client_id text,
    environment text,
    key_id text,
    wrapped_key blob,
    ciphertext blob,
    created_ms integer not null,
    updated_ms integer not null,
    version integer not null,
    check ((key_id is null) = (wrapped_key is null) and (key_id is null) = (ciphertext is null))
) strict;

create index credentials_owner on credentials (owner);
create index credentials_key_id on credentials (key_id) where key_id is not null;

create table clusters (
    id text primary key not null,
    uuid text not null,
    owner text not null,
    name text not null,
    spec text not null,
    status text not null,
    credential_id text references credentials (id),
    aks_identity text unique,
    created_ms integer not null,
    updated_ms integer not null,
    version integer not null
) strict;

create index clusters_owner on clusters (owner);
create index clusters_credential_id on clusters (credential_id) where credential_id is not null;

create table settings (
    name text primary key not null,
    value text not null,
    updated_ms integer not null
) strict, without rowid;

create table events (
    id text primary key not null,
    at_ms integer not null,
    user_id text not null,
    user_name text not null,
    token_name text not null,
    action text not null,
    object_type text not null,
    object_id text not null,
    outcome text not null,
    request_id text not null,
    remote text not null
) strict, without rowid;

create index events_at_ms on events (at_ms);
create index events_object on events (object_type, object_id, at_ms);

create table replicas (
    id text primary key not null,
    started_ms integer not null,
    seen_ms integer not null,
    key_ids text not null
) strict, without rowid;
