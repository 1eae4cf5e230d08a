-- The owner's live runtime (claimOwner in runtimes.ts): the one there is, or a new one in `pending`, counted as one of its
-- tenant's creates of this minute and written as an event.
create function porthole_claim(
  new_id text, of_tenant text, of_mode text, of_owner text, of_hash text, by_spec text,
  need_memory bigint, need_cpu integer, need_gpu integer, with_labels jsonb, with_start jsonb,
  with_idle jsonb, lease_ms double precision, wait_ms double precision,
  -- The host that a new one starts on in the same transaction, by porthole_create; null: none yet.
  at_once text,
  -- 'created', 'found', 'over-limit', 'hash-taken', 'gone' (what was in the way is gone by now)
  out outcome text,
  out claimed runtimes,
  -- Null where the tenant's creates have no limit.
  out create_limit integer, out create_count integer, out create_left integer
) language plpgsql
-- Planned once for each connection, and by its indices even where that was while the tables were small.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  counted record;
begin
  begin
    insert into runtimes (id, tenant, mode, owner, owner_hash, spec, need_memory_bytes, need_cpu_millis, need_gpus, labels,
      start, idle, idle_at, work_until, wait_until, state, generation, host_id, reserved, counted)
    values (new_id, of_tenant, of_mode, of_owner, of_hash, by_spec, need_memory, need_cpu, need_gpu, with_labels,
      with_start, with_idle,
      -- Its age counts from now on; use only once it runs.
      case when with_idle ? 'maxAge' then now() end,
      now() + make_interval(secs => lease_ms / 1000), now() + make_interval(secs => wait_ms / 1000),
      case when at_once is null then 'pending' else 'starting' end, case when at_once is null then 0 else 1 end, at_once,
      at_once is not null, at_once is not null)
    on conflict do nothing
    returning * into claimed;
    if found then
      counted := porthole_count(of_tenant);
      create_limit := counted.create_limit;
      create_count := counted.create_count;
      create_left := counted.create_left;
      if create_count > create_limit then
        raise sqlstate 'PH001' using message = 'over-limit';
      end if;
      if at_once is null then
        insert into events (tenant, runtime_id, type, generation, to_state)
        values (of_tenant, new_id, 'runtime.pending', 0, 'pending');
      else
        insert into events (tenant, runtime_id, type, generation, from_state, to_state, data) values
          (of_tenant, new_id, 'runtime.pending', 0, null, 'pending', '{}'),
          (of_tenant, new_id, 'runtime.starting', 1, 'pending', 'starting', jsonb_build_object('host', at_once));
      end if;
      outcome := 'created';
      return;
    end if;
  exception when sqlstate 'PH001' then
    outcome := sqlerrm;
    claimed := null;
    return;
  end;

  select * into claimed from runtimes
  where tenant = of_tenant and mode = of_mode and owner = of_owner and state <> 'deleted';
  if found then
    outcome := 'found';
    return;
  end if;
  perform from runtimes where owner_hash = of_hash and state <> 'deleted';
  outcome := case when found then 'hash-taken' else 'gone' end;
end
$$
