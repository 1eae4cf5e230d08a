import type postgres from 'postgres'
import { hostIdOf, hostOffer, publicKeyOf, runtimeNeed } from './fleet.ts'

const atOnce = 1000

/**
 * Joins hosts 0 to `count` - 1 as if each had come by itself. They are live: for an hour when `withoutBeats`, else until
 * they would have to beat.
 *
 * @param url where all of their agents are
 */
export const seedHosts = async (
  sql: postgres.Sql,
  count: number,
  { url = 'http://127.0.0.1:9', withoutBeats = false } = {},
): Promise<void> => {
  for (let from = 0; from < count; from += atOnce) {
    const numbers = Array.from({ length: Math.min(atOnce, count - from) }, (_, n) => from + n)
    await sql`
      insert into hosts (id, name, url, public_key, memory_bytes, cpu_millis, slots, gpus, engine_version, images, labels, last_seen_at)
      select id, id, ${url}, key, ${hostOffer.memoryBytes}, ${hostOffer.cpuMillis}, ${hostOffer.slots}, ${hostOffer.gpus},
        '27.0.1', ${sql.json(imagesOfHosts)}, ${sql.json(labelsOfHosts)}, now() + make_interval(hours => ${withoutBeats ? 1 : 0})
      from unnest(${numbers.map(hostIdOf)}::text[], ${numbers.map(publicKeyOf)}::text[]) as new (id, key)
    `
  }
  await sql`vacuum analyze hosts`
}

/** What a host that has been in use for a while has. */
export const imagesOfHosts = Array.from({ length: 8 }, (_, n) => `registry.example.com/team/sandbox-${n}:2026.11`)
export const labelsOfHosts = { os: 'linux', arch: 'x86_64', zone: 'a' }

/** `count` tenants without limits: t0, t1 and so on. */
export const seedTenants = async (sql: postgres.Sql, count: number): Promise<void> => {
  await sql`insert into tenants (slug, mode) select 't' || n, 'docker-per-principal' from generate_series(0, ${count - 1}) n`
}

/**
 * `count` runtimes with their profiles, dealt out to the hosts and tenants in turn, and the counters of both as if they had been
 * placed. The first `running` of them run; the others are stopped and hold nothing.
 */
export const seedRuntimes = async (
  sql: postgres.Sql,
  { count, running = count, hosts, tenants }: { count: number; running?: number; hosts: number; tenants: number },
): Promise<void> => {
  const start = { memoryBytes: runtimeNeed.memoryBytes, cpus: runtimeNeed.cpuMillis / 1000 }
  await sql`
    insert into runtimes (id, tenant, mode, owner, owner_hash, spec, state, generation, host_id, reserved, counted,
      need_memory_bytes, need_cpu_millis, start, ready_at)
    select 'rt_' || upper(lpad(to_hex(n), 26, '0')), 't' || n % ${tenants}::int, 'docker-per-principal', 'seeded-' || n,
      lpad(to_hex(n), 16, '0'), 'browser', case when n < ${running}::int then 'running' else 'stopped' end, 1,
      'host_sim' || lpad((n % ${hosts}::int)::text, 6, '0'), n < ${running}::int, n < ${running}::int,
      ${runtimeNeed.memoryBytes}, ${runtimeNeed.cpuMillis}, ${sql.json(start)}, now()
    from generate_series(0, ${count - 1}::int) n
  `
  await sql`
    insert into profiles (id, tenant, mode, owner, owner_hash, host_id)
    select 'pf_' || substr(id, 4), tenant, mode, owner, owner_hash, host_id from runtimes
  `
  await countAnew(sql)
}

/** Takes away what was placed since, as if it had never been. */
export const forgetPlaced = async (sql: postgres.Sql): Promise<void> => {
  await sql`delete from profiles where owner not like 'seeded-%'`
  await sql`delete from runtimes where owner not like 'seeded-%'`
  await sql`truncate events`
  await countAnew(sql)
}

/** Sets the counters of hosts and tenants to what the runtimes hold, and has the tables as tidy as after a quiet night. */
const countAnew = async (sql: postgres.Sql): Promise<void> => {
  await sql`
    update hosts set reserved_slots = coalesce(held, 0), reserved_memory_bytes = coalesce(memory, 0), reserved_cpu_millis = coalesce(cpu, 0)
    from hosts h left join (
      select host_id, count(*)::int held, sum(need_memory_bytes)::bigint memory, sum(need_cpu_millis)::int cpu
      from runtimes where reserved group by host_id
    ) r on r.host_id = h.id
    where h.id = hosts.id
  `
  await sql`
    update tenants set used_runtimes = coalesce(running, 0), used_memory_bytes = coalesce(memory, 0), used_cpu_millis = coalesce(cpu, 0)
    from tenants t left join (
      select tenant, count(*) filter (where counted)::int running, sum(need_memory_bytes)::bigint memory, sum(need_cpu_millis)::int cpu
      from runtimes where reserved group by tenant
    ) r on r.tenant = t.slug
    where t.slug = tenants.slug
  `
  for (const table of ['runtimes', 'profiles', 'hosts', 'tenants', 'events'])
    await sql.unsafe(`vacuum analyze ${table}`)
}

/** What is wrong with the books, a sentence each: hosts beyond what they have, and counters that differ from the rows. */
export const bookErrors = async (sql: postgres.ISql): Promise<string[]> => {
  const held = sql`
    select h.id, h.reserved_slots, h.slots, h.reserved_memory_bytes, h.memory_bytes, h.reserved_cpu_millis, h.cpu_millis,
      coalesce(r.slots, 0) held_slots, coalesce(r.memory, 0) held_memory, coalesce(r.cpu, 0) held_cpu
    from hosts h left join (select host_id, count(*) slots, sum(need_memory_bytes) memory, sum(need_cpu_millis) cpu
      from runtimes where reserved group by host_id) r on r.host_id = h.id`
  const overbooked = await sql<{ id: string }[]>`
    select id from (${held}) x where held_slots > slots or held_memory > memory_bytes or held_cpu > cpu_millis limit 5`
  const miscounted = await sql<{ id: string }[]>`
    select id from (${held}) x
    where held_slots <> reserved_slots or held_memory <> reserved_memory_bytes or held_cpu <> reserved_cpu_millis limit 5`
  const tenants = await sql<{ slug: string }[]>`
    select t.slug from tenants t left join (select tenant, count(*) filter (where counted) running, sum(need_memory_bytes)
      filter (where reserved) memory from runtimes group by tenant) r on r.tenant = t.slug
    where t.used_runtimes <> coalesce(r.running, 0) or t.used_memory_bytes <> coalesce(r.memory, 0) limit 5`
  return [
    ...overbooked.map(({ id }) => `${id} holds more than it has`),
    ...miscounted.map(({ id }) => `${id} counts as reserved what its runtimes do not hold`),
    ...tenants.map(({ slug }) => `${slug} counts as used what its runtimes do not hold`),
  ]
}
