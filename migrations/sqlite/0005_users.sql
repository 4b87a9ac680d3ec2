-- Users who are disabled: their tokens are refused, and what they own stays as it is.

alter table users add column enabled integer not null default 1 check (enabled in (0, 1));
