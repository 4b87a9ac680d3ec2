-- Agents present a token without saying which cluster it is for.
create unique index registration_tokens_hash on registration_tokens (hash);

-- Where other servers connect to a server, for the sessions of agents that it has.
alter table replicas add column address text;

create table agent_sessions (
    cluster_id text not null references clusters (id) on delete cascade,
    replica_id text not null references replicas (id) on delete cascade,
    primary key (cluster_id, replica_id)
) strict, without rowid;

-- Until when a cluster counts among those whose agent is being deployed or replaced, in milliseconds since 1970.

alter table clusters add column agent_rollout_until_ms integer;
