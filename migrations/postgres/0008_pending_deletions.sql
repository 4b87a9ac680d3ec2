-- Cloud credentials that a user deleted while clusters use them: kept for these clusters, and hidden from callers. The row is
-- deleted in the transaction that ends the last use.

alter table credentials add column deleted_ms bigint;

create index credentials_deleted_ms on credentials (deleted_ms) where deleted_ms is not null;
