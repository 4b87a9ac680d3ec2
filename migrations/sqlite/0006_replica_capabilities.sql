-- What a server can do that an earlier version could not: a server without an entry is one of an earlier version.

alter table replicas add column capabilities text not null default '[]';
