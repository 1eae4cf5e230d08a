-- Gives a new owner a runtime that was started before anybody owned it (warm.ts): the row becomes theirs with its id and its
-- room, by the next generation, as after every start, and in `starting` until its host has made the container theirs as well. Where there is none for
-- them it raises PH001, and whoever calls it undoes what came before. As everywhere the runtime's row is locked first, then
-- tenants', then the host's, then profiles'; of the two tenants that which owns what is warm is first.
create function porthole_adopt(
  of_tenant text, of_mode text, of_owner text, of_hash text, by_spec text,
  need_memory bigint, need_cpu integer, need_gpu integer, with_labels jsonb, with_start jsonb, with_idle jsonb,
  lease_ms double precision, wait_ms double precision, live_seconds double precision, profile_id text,
  -- What it has to have been made from.
  fingerprint text,
  out adopted runtimes,
  out create_limit integer, out create_count integer, out create_left integer,
  -- What is reserved on its host now.
  out host_memory_bytes bigint, out host_cpu_millis integer, out host_slots integer, out host_gpus integer
) language plpgsql
-- Planned once for each connection, and by its indices even where that was while the tables were small.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  warm runtimes;
  counted record;
  room record;
begin
  -- An owner who is asked for twice at once: the second would find none that is not locked, and start a cold one first.
  perform pg_advisory_xact_lock(1464947277, hashtext(of_hash));
  -- Who has one already gets that one, and who has a profile gets it with that.
  if exists (
    select from runtimes other
    where other.tenant = of_tenant and other.mode = of_mode and other.owner = of_owner and other.state <> 'deleted'
  ) or exists (
    select from runtimes other where other.owner_hash = of_hash and other.state <> 'deleted'
  ) or exists (
    select from profiles
    where profiles.tenant = of_tenant and profiles.mode = of_mode and profiles.owner = of_owner
  ) then
    raise sqlstate 'PH001' using message = 'not-new';
  end if;

  select candidate.* into warm from runtimes candidate
  where candidate.tenant = '~warm' and candidate.state = 'running' and candidate.spec = by_spec
    and candidate.labels ->> 'fingerprint' = fingerprint
    and candidate.work_until is null and candidate.reserved and candidate.counted
    and candidate.need_memory_bytes = need_memory and candidate.need_cpu_millis = need_cpu
    and candidate.need_gpus = need_gpu
    -- Ids tell which of an owner's runtimes is the newer one.
    and not exists (select from runtimes former where former.owner_hash = of_hash and former.id > candidate.id)
    and exists (
      select from hosts
      where hosts.id = candidate.host_id and hosts.removed_at is null and hosts.schedulable
        and hosts.last_seen_at > now() - make_interval(secs => live_seconds)
        and hosts.labels @> coalesce(with_start -> 'require', '{}')
    )
  order by candidate.id desc
  limit 1
  for update of candidate skip locked;
  if not found then
    raise sqlstate 'PH001' using message = 'none';
  end if;

  -- Its new owner's keys before any other row: whoever else makes a runtime for them has these first, too, and waits for the rest.
  update runtimes set tenant = of_tenant, mode = of_mode, owner = of_owner, owner_hash = of_hash where id = warm.id;
  update tenants set
    used_runtimes = used_runtimes - 1, used_memory_bytes = used_memory_bytes - warm.need_memory_bytes,
    used_cpu_millis = used_cpu_millis - warm.need_cpu_millis
  where slug = '~warm';
  -- Locked before the host is, also where its creates are not counted.
  perform from tenants where slug = of_tenant for no key update;
  counted := porthole_count(of_tenant);
  if counted.create_count > counted.create_limit then
    raise sqlstate 'PH001' using message = 'over-limit';
  end if;
  update hosts set
    reserved_memory_bytes = reserved_memory_bytes - warm.need_memory_bytes,
    reserved_cpu_millis = reserved_cpu_millis - warm.need_cpu_millis,
    reserved_gpus = reserved_gpus - warm.need_gpus, reserved_slots = reserved_slots - 1
  where id = warm.host_id;

  adopted := warm;
  adopted.tenant := of_tenant;
  adopted.mode := of_mode;
  adopted.owner := of_owner;
  adopted.owner_hash := of_hash;
  adopted.start := with_start;
  -- Whoever stands in line for room has a right to it before somebody new, as everywhere.
  room := porthole_room(adopted, false, false, null, null, warm.host_id, live_seconds, profile_id);
  delete from profiles where tenant = '~warm' and mode = warm.mode and owner = warm.owner;

  update runtimes set
    labels = with_labels, start = with_start,
    idle = with_idle, idle_at = case when with_idle ? 'maxAge' then now() end, warned_for = null,
    state = 'starting', state_at = now(), generation = generation + 1, created_at = now(), last_used_at = now(), ready_at = null, error = null,
    work_until = now() + make_interval(secs => lease_ms / 1000), work_tries = 0,
    wait_until = now() + make_interval(secs => wait_ms / 1000)
  where id = warm.id
  returning * into adopted;
  insert into events (tenant, runtime_id, type, generation, from_state, to_state, data) values
    (of_tenant, warm.id, 'runtime.pending', 0, null, 'pending', '{}'),
    (of_tenant, warm.id, 'runtime.starting', adopted.generation, 'pending', 'starting',
      jsonb_build_object('host', warm.host_id, 'warm', true));

  create_limit := counted.create_limit;
  create_count := counted.create_count;
  create_left := counted.create_left;
  host_memory_bytes := room.host_memory_bytes;
  host_cpu_millis := room.host_cpu_millis;
  host_slots := room.host_slots;
  host_gpus := room.host_gpus;
end
$$
