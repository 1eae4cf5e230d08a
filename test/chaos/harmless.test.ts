import assert from 'node:assert/strict'
import { it } from 'node:test'
import { mayClose, mayEnd } from './harmless.ts'

const place = { host: 'h1', gateway: 'g1', container: 'c-aa' }

it('a fault may end what runs on the host, or in the container, that it has struck', () => {
  assert(mayEnd({ fault: 'kill a dockerd', touched: { host: 'h1' } }, place))
  assert(!mayEnd({ fault: 'kill a dockerd', touched: { host: 'h2' } }, place))
  assert(mayEnd({ fault: 'kill a container', touched: { container: 'c-aa' } }, place))
  assert(!mayEnd({ fault: 'kill a container', touched: { container: 'c-bb' } }, place))
  assert(!mayEnd({ fault: 'kill a container', touched: {} }, place))
})

it('a restart of what it runs on ends nothing', () => {
  assert(!mayEnd({ fault: 'kill an agent', touched: { host: 'h1' } }, place))
})

it('a fault may close a view that goes through what it has struck', () => {
  assert(mayClose({ fault: 'kill a gateway', touched: { gateway: 'g1' } }, place))
  assert(!mayClose({ fault: 'kill a gateway', touched: { gateway: 'g2' } }, place))
  assert(mayClose({ fault: 'partition', touched: { host: 'h1' } }, place))
  assert(!mayClose({ fault: 'kill Postgres', touched: {} }, place))
})

it('a fault that is being struck may touch anything', () => {
  assert(mayEnd({ fault: 'kill a container' }, place))
  assert(mayClose({ fault: 'kill a gateway' }, place))
})
