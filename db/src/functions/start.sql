-- Puts a runtime on a host (startOn in runtimes.ts): a new generation, its tenant's quota and the host's capacity taken,
-- the profile's home remembered, the move written as an event; or nothing of it, and why. One call, so that the rows
-- which many want, the tenant's and the host's, are locked for no longer than it takes. The runtime's row first, then the
-- tenant's, then the host's, then the profile's, as everywhere: two orders would deadlock.
create function porthole_start(
  -- The runtime as the caller saw it.
  seen_id text, seen_generation bigint, seen_state text, seen_reserved boolean, seen_counted boolean,
  seen_line_for text, seen_line_since timestamptz,
  chosen text, lease_ms double precision, live_seconds double precision,
  -- Of the row that is made where the owner has no profile yet.
  profile_id text,
  -- 'started', 'moved' (by somebody else), 'over-quota', 'behind', 'full', 'moving' (its profile)
  out outcome text,
  out started runtimes,
  -- What is reserved on the host now; null where nothing was taken of it.
  out host_memory_bytes bigint, out host_cpu_millis integer, out host_slots integer, out host_gpus integer
) language plpgsql
-- Planned once for each connection, and by its indices even where that was while the tables were small.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  room record;
begin
  -- A refusal undoes what came before it: the block's end is where it leads.
  begin
    update runtimes set
      state = 'starting', state_at = now(), generation = generation + 1, host_id = chosen, reserved = true, counted = true,
      error = null, ready_at = null, work_until = now() + make_interval(secs => lease_ms / 1000), work_tries = 0,
      -- How long it waits stays known: its host may refuse it, and then it waits for room elsewhere.
      line_since = null, line_until = null, line_for = null
    where id = seen_id and generation = seen_generation and state = seen_state and reserved = seen_reserved
      and counted = seen_counted
    returning * into started;
    if not found then
      raise sqlstate 'PH001' using message = 'moved';
    end if;
    insert into events (tenant, runtime_id, type, generation, from_state, to_state, data)
    values (started.tenant, seen_id, 'runtime.starting', started.generation, seen_state, 'starting',
      jsonb_build_object('host', chosen));

    room := porthole_room(started, seen_reserved, seen_counted, seen_line_for, seen_line_since, chosen, live_seconds,
      profile_id);
    host_memory_bytes := room.host_memory_bytes;
    host_cpu_millis := room.host_cpu_millis;
    host_slots := room.host_slots;
    host_gpus := room.host_gpus;
    outcome := 'started';
  exception when sqlstate 'PH001' then
    outcome := sqlerrm;
    started := null;
    host_memory_bytes := null;
    host_cpu_millis := null;
    host_slots := null;
    host_gpus := null;
  end;
end
$$
