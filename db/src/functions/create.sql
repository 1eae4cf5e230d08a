-- A claim (createOn in runtimes.ts). For a new owner one that is warm, where there is one that does. Else, where that makes a
-- new runtime and a host was chosen for it beforehand, its start there: one transaction instead of two. Refused there, it
-- stays in `pending`, as after a claim alone.
create function porthole_create(
  new_id text, of_tenant text, of_mode text, of_owner text, of_hash text, by_spec text,
  need_memory bigint, need_cpu integer, need_gpu integer, with_labels text, with_start text,
  with_idle text, lease_ms double precision, wait_ms double precision,
  -- Null: only claimed.
  chosen text, live_seconds double precision, profile_id text,
  -- What a warm one has to have been made from; null: none will do.
  warm text,
  -- As porthole_claim's.
  out outcome text,
  out claimed runtimes,
  out create_limit integer, out create_count integer, out create_left integer,
  -- As porthole_start's; null where it was not tried.
  out start_outcome text,
  out host_memory_bytes bigint, out host_cpu_millis integer, out host_slots integer, out host_gpus integer
) language plpgsql as $$
declare
  claim record;
  room record;
  adoption record;
begin
  if warm is not null then
    begin
      adoption := porthole_adopt(of_tenant, of_mode, of_owner, of_hash, by_spec, need_memory, need_cpu, need_gpu,
        with_labels::jsonb, with_start::jsonb, with_idle::jsonb, lease_ms, wait_ms, live_seconds, profile_id, warm);
      outcome := 'created';
      start_outcome := 'started';
      claimed := adoption.adopted;
      create_limit := adoption.create_limit;
      create_count := adoption.create_count;
      create_left := adoption.create_left;
      host_memory_bytes := adoption.host_memory_bytes;
      host_cpu_millis := adoption.host_cpu_millis;
      host_slots := adoption.host_slots;
      host_gpus := adoption.host_gpus;
      return;
    exception when sqlstate 'PH001' or unique_violation then
      -- None for them, or somebody else was faster: as without.
    end;
  end if;
  if chosen is not null then
    -- Refused, it was never there: the block's end undoes it.
    begin
      claim := porthole_claim(new_id, of_tenant, of_mode, of_owner, of_hash, by_spec, need_memory, need_cpu, need_gpu,
        with_labels::jsonb, with_start::jsonb, with_idle::jsonb, lease_ms, wait_ms, chosen);
      if claim.outcome = 'created' then
        room := porthole_room(claim.claimed, false, false, null, null, chosen, live_seconds, profile_id);
        start_outcome := 'started';
        host_memory_bytes := room.host_memory_bytes;
        host_cpu_millis := room.host_cpu_millis;
        host_slots := room.host_slots;
        host_gpus := room.host_gpus;
      end if;
    exception when sqlstate 'PH001' then
      start_outcome := sqlerrm;
    end;
  end if;
  if chosen is null or start_outcome <> 'started' then
    claim := porthole_claim(new_id, of_tenant, of_mode, of_owner, of_hash, by_spec, need_memory, need_cpu, need_gpu,
      with_labels::jsonb, with_start::jsonb, with_idle::jsonb, lease_ms, wait_ms, null);
  end if;
  outcome := claim.outcome;
  claimed := claim.claimed;
  create_limit := claim.create_limit;
  create_count := claim.create_count;
  create_left := claim.create_left;
end
$$
