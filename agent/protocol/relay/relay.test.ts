import { describe } from 'node:test'
import { relayCases } from './relay-cases.ts'

describe('one hop', { concurrency: 8 }, () => relayCases(1))
describe('two hops', { concurrency: 8 }, () => relayCases(2))
