-- What the audit says beside who did what to which object: what a removal left behind.

alter table events add column detail text not null default '';
