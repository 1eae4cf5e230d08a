-- The move from `starting` to `running` (toRunning in runtimes.ts), if the runtime is still as the caller saw it, and its
-- event. As `move` of runtimes.ts, which has Postgres plan each time; this one is made for every start.
create function porthole_run(
  seen_id text, seen_generation bigint, seen_reserved boolean, seen_counted boolean, with_data text,
  -- Null: somebody else was faster.
  out ran runtimes
) language plpgsql
-- Planned once for each connection, and by its indices even where that was while the tables were small.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
begin
  update runtimes set
    state = 'running', state_at = now(), ready_at = now(), last_used_at = now(), error = null,
    -- As `lookAtIn` of idle.ts: no later than the first warning that is due.
    idle_at = (
      select min(since + make_interval(secs => after - least(63, after / 2)))
      from (
        select created_at, (idle ->> 'maxAge')::float8
        union all select now(), (idle ->> 'pauseAfter')::float8
        union all select now(), (idle ->> 'stopAfter')::float8
        union all select now(), (idle ->> 'deleteAfter')::float8
      ) as rules(since, after)
    ),
    work_until = null, work_tries = 0, line_since = null, line_until = null, line_for = null, wait_until = null
  where id = seen_id and generation = seen_generation and state = 'starting' and reserved = seen_reserved
    and counted = seen_counted
  returning * into ran;
  if not found then
    ran := null;
    return;
  end if;
  insert into events (tenant, runtime_id, type, generation, from_state, to_state, data)
  values (ran.tenant, seen_id, 'runtime.running', ran.generation, 'starting', 'running', with_data::jsonb);
end
$$
