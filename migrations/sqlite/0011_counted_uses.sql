-- Records of what is done so often that it is counted: how many times within a minute, and when last.

alter table events add column count integer;
alter table events add column last_ms integer;
