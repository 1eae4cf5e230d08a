import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSpecs } from './specs.ts'
import { parseSpecs } from './specs-file.ts'

test('an operator says what differs from a small sandbox', () => {
  const text = JSON.stringify({ site: { image: 'site:1', ports: { app: 3000 }, memoryShare: 0.25 } })
  const spec = createSpecs(parseSpecs(text)).find('site')
  const { image, ports, keyed, readOnlyRoot, egress } = spec.recipe
  assert.deepEqual(
    { image, ports, keyed, readOnlyRoot, egress },
    { image: 'site:1', ports: { app: 3000 }, keyed: false, readOnlyRoot: true, egress: 'internet' },
  )
  assert.deepEqual([spec.memoryShare, spec.cpuShare], [0.25, 1])
})

test('built-in specs are there beside an operator’s own', () => {
  const specs = createSpecs(parseSpecs('{"site": {"ports": {}}}'))
  assert.equal(specs.find('browser').recipe.keyed, true)
  assert.deepEqual(specs.portsOf('site'), {})
  assert.equal(specs.portsOf('no-such'), undefined)
})

test('kept warm are those that say so, and built-in ones as the gateway is told', () => {
  const own = parseSpecs(
    '{"site": {"ports": {}, "warm": 2}, "shop": {"ports": {}, "warm": "auto"}, "rare": {"ports": {}}}',
  )
  const kept = (specs: ReturnType<typeof createSpecs>) =>
    specs.warm().map(({ recipe, warm }) => [recipe.name, warm] as const)
  assert.deepEqual(Object.fromEntries(kept(createSpecs(own))), { site: 2, shop: 'auto' })
  assert.deepEqual(kept(createSpecs([], 900, 3)), [['browser', 3]])
})

test('a spec that is wrong is named, with the place', () => {
  const wrong = (specs: object) => () => parseSpecs(JSON.stringify(specs))
  assert.throws(wrong({ site: { ports: { App: 1 } } }), /^Error: site: ports\.App/)
  assert.throws(wrong({ site: { ports: { app: 1 }, privileged: true } }), /site: .*privileged/)
  assert.throws(wrong({ site: { ports: { app: 1 }, health: { port: 'web', path: '/' } } }), /site: health: there is no/)
  assert.throws(wrong({ site: { ports: {}, memoryShare: 2 } }), /site: memoryShare/)
  assert.throws(wrong({ 'A B': { ports: {} } }), /A B: /)
  for (const warm of [-1, 1.5, 101, 'all']) assert.throws(wrong({ site: { ports: {}, warm } }), /site: warm/)
  assert.throws(() => parseSpecs('{'), /not JSON/)
})
