-- What a runtime takes where it starts: its tenant's quota, room on the host, and its profile's home. Refused, it raises
-- PH001 with the reason ('over-quota', 'behind', 'full', 'moving'), and whoever calls it undoes what came before. The caller
-- holds the runtime's row; then the tenant's comes, then the host's, then the profile's, as everywhere: two orders would deadlock.
create function porthole_room(
  -- As it is to start.
  started runtimes,
  -- What it held before, and where it stood in line.
  seen_reserved boolean, seen_counted boolean, seen_line_for text, seen_line_since timestamptz,
  chosen text, live_seconds double precision,
  -- Of the row that is made where the owner has no profile yet.
  profile_id text,
  -- What is reserved on the host now; null where nothing was taken of it.
  out host_memory_bytes bigint, out host_cpu_millis integer, out host_slots integer, out host_gpus integer
) language plpgsql
-- Planned once for each connection, and by its indices even where that was while the tables were small.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  seen_id text := started.id;
  -- What it holds already is not taken again.
  need_memory bigint := case when seen_reserved then 0 else started.need_memory_bytes end;
  need_cpu integer := case when seen_reserved then 0 else started.need_cpu_millis end;
  quota_since timestamptz := case when seen_line_for = 'quota' then seen_line_since end;
  hosts_since timestamptz := case when seen_line_for = 'hosts' then seen_line_since end;
  is_new boolean;
  home record;
begin
  if not seen_counted then
    update tenants set
      used_runtimes = used_runtimes + 1, used_memory_bytes = used_memory_bytes + need_memory,
      used_cpu_millis = used_cpu_millis + need_cpu
    where slug = started.tenant and suspended_at is null
      and (max_runtimes is null or used_runtimes + 1 <= max_runtimes)
      -- What takes no more of it is not held up by it.
      and (need_memory = 0 or max_memory_bytes is null or used_memory_bytes + need_memory <= max_memory_bytes)
      and (need_cpu = 0 or max_cpu_millis is null or used_cpu_millis + need_cpu <= max_cpu_millis)
      -- Nobody waits for quota before it: first in, first out, and who has just come is last.
      and not exists (
        select from runtimes other
        where other.line_since is not null and other.tenant = started.tenant and other.id <> seen_id
          and other.line_for = 'quota' and other.line_until > now()
          and (other.line_since, other.id) < (coalesce(quota_since, 'infinity'), seen_id)
      );
    if not found then
      raise sqlstate 'PH001' using message = 'over-quota';
    end if;
  end if;

  if not seen_reserved then
    -- Nobody stands in line before it for room on this host that would do for both: one that asks for no more, could go
    -- there by its labels, and whose profile is not on another host. Within a tenant, who came first is before; between
    -- tenants, they take turns: first the one for whose line it is longest since there was room. Who is in no line is
    -- behind everybody.
    if exists (
      select from runtimes other join tenants on tenants.slug = other.tenant
      where other.line_since is not null and other.id <> seen_id and other.line_for = 'hosts' and other.line_until > now()
        and case when other.tenant = started.tenant
          then (other.line_since, other.id) < (coalesce(hosts_since, 'infinity'), seen_id)
          else hosts_since is null or (coalesce(tenants.served_at, '-infinity'), other.line_since, other.id) < (
            coalesce((select own.served_at from tenants own where own.slug = started.tenant), '-infinity'),
            hosts_since, seen_id
          ) end
        and other.need_memory_bytes <= started.need_memory_bytes and other.need_cpu_millis <= started.need_cpu_millis
        and other.need_gpus <= started.need_gpus
        and exists (
          select from hosts where hosts.id = chosen and hosts.labels @> coalesce(other.start -> 'require', '{}')
        )
        and not exists (
          select from profiles
          where profiles.tenant = other.tenant and profiles.mode = other.mode and profiles.owner = other.owner
            and profiles.host_id <> chosen
        )
    ) then
      raise sqlstate 'PH001' using message = 'behind';
    end if;

    update hosts set
      reserved_memory_bytes = reserved_memory_bytes + started.need_memory_bytes,
      reserved_cpu_millis = reserved_cpu_millis + started.need_cpu_millis,
      reserved_gpus = reserved_gpus + started.need_gpus, reserved_slots = reserved_slots + 1
    where id = chosen and removed_at is null and schedulable
      and last_seen_at > now() - make_interval(secs => live_seconds)
      and labels @> coalesce(started.start -> 'require', '{}')
      and reserved_memory_bytes + started.need_memory_bytes <= memory_bytes
      and reserved_cpu_millis + started.need_cpu_millis <= cpu_millis
      and reserved_gpus + started.need_gpus <= gpus
      and reserved_slots + 1 <= slots
    returning reserved_memory_bytes, reserved_cpu_millis, reserved_slots, reserved_gpus
      into host_memory_bytes, host_cpu_millis, host_slots, host_gpus;
    if not found then
      raise sqlstate 'PH001' using message = 'full';
    end if;
    -- Its tenant's line for room on the hosts has had its turn.
    if seen_line_for = 'hosts' then
      update tenants set served_at = clock_timestamp() where slug = started.tenant;
    end if;
  end if;

  -- An owner who has no profile yet has nothing that could be anywhere else, unless it is still to be removed.
  insert into profiles (id, tenant, mode, owner, owner_hash, host_id)
  values (profile_id, started.tenant, started.mode, started.owner, started.owner_hash, chosen)
  on conflict (tenant, mode, owner) do nothing;
  is_new := found;
  if not is_new then
    -- Locked, so that a move of it that ends just now is seen here, with what it has left behind.
    select profiles.id, profiles.host_id, profiles.moving_to into home from profiles
    where profiles.tenant = started.tenant and profiles.mode = started.mode and profiles.owner = started.owner
    for update;
    if home.host_id <> chosen and started.mode <> 'docker-per-task' then
      raise sqlstate 'PH001' using message = 'moving';
    end if;
  end if;
  -- What is still to be removed there would be taken for this owner's profile.
  if exists (
    select from volume_removals due where due.host_id = chosen and due.owner_hash = started.owner_hash
  ) then
    raise sqlstate 'PH001' using message = 'full';
  end if;
  if not is_new then
    -- A task goes wherever there is room: what it left on another host is nobody's. Nor is a copy that was never finished.
    insert into volume_removals (id, host_id, tenant, owner_hash)
    select 'vr_' || gen_random_uuid(), place, started.tenant, started.owner_hash
    from (select unnest(array[home.host_id, home.moving_to]) as place) places
    where place <> chosen
    group by place;
    -- It may have been deleted since.
    insert into profiles (id, tenant, mode, owner, owner_hash, host_id)
    values (profile_id, started.tenant, started.mode, started.owner, started.owner_hash, chosen)
    on conflict (tenant, mode, owner) do update set
      last_used_at = now(), host_id = chosen, moving_to = null, moving_until = null
    where profiles.moving_until is null or profiles.moving_until < now();
    if not found then
      raise sqlstate 'PH001' using message = 'moving';
    end if;
  end if;
end
$$
