import { describe } from 'node:test'
import { edgeCases } from './edge-cases.ts'
import { relayFront } from './front.ts'

describe('where proxies go wrong, one hop', { concurrency: 8 }, () => edgeCases(relayFront))
