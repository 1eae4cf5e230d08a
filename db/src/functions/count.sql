-- Counts one more of a tenant's creates of this minute, where there is a limit to them. The caller looks at the outcome.
create function porthole_count(
  of_tenant text,
  -- Null where the tenant's creates have no limit.
  out create_limit integer, out create_count integer, out create_left integer
) language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  minute timestamptz := date_trunc('minute', now());
begin
  update tenants set
    create_count = case when create_minute = minute then least(tenants.create_count + 1, creates_per_minute + 1) else 1 end,
    create_minute = minute
  where slug = of_tenant and creates_per_minute is not null
  returning creates_per_minute, tenants.create_count, ceil(60 - extract(second from now()))::int
    into create_limit, create_count, create_left;
end
$$
