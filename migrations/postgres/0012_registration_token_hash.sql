-- Agents present a token without saying which cluster it is for.
create unique index registration_tokens_hash on registration_tokens (hash);
