-- Users who are disabled: their tokens are refused, and what they own stays as it is.

alter table users add column enabled boolean not null default true;
