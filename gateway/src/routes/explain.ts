import { z } from '@hono/zod-openapi'
import type { PlacementPolicy } from '@porthole/db'
import type { Demand } from '../runtimes/score.ts'
import type { Specs } from '../runtimes/specs.ts'
import { ensureBody } from './schemas.ts'

/** What of a request decides where it is placed. */
export const explainBody = ensureBody
  .pick({ spec: true, resources: true, placement: true })
  .openapi('ExplainPlacement', { example: { resources: { memoryMb: 4096, gpus: 0 } } })

export const explainAnswer = z
  .object({
    chosen: z.string().nullable(),
    /** All hosts; the list holds the best of them. */
    total: z.int(),
    hosts: z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        fits: z.boolean(),
        score: z.number(),
        reason: z.string().optional(),
        mayWait: z.boolean().optional().openapi({ description: 'Whether it could once others have left.' }),
      }),
    ),
  })
  .openapi('Explanation')

/** @throws Problem `spec-not-found` */
export const demandFrom = (
  { spec, resources, placement }: z.infer<typeof explainBody>,
  policy: PlacementPolicy,
  specs: Pick<Specs, 'find'>,
): Demand => {
  const { recipe, memoryShare, cpuShare } = specs.find(spec)
  const memoryBytes = resources.memoryMb ? resources.memoryMb * 1024 ** 2 : recipe.memoryBytes
  return {
    memoryBytes: Math.ceil(memoryBytes * memoryShare),
    cpuMillis: Math.ceil((resources.cpus ?? recipe.cpus) * 1000 * cpuShare),
    gpus: resources.gpus,
    require: placement.labels ?? {},
    policy: placement.policy ?? policy,
    image: recipe.image,
  }
}
