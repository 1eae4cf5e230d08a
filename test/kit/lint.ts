import { join } from 'node:path'
import { inStep, type Progress } from '../../infra/dev/progress.ts'
import { type Run, runQuietly } from './run-program.ts'

/** Types and style. Resolves to what they complain about; '' when nothing. */
export async function lint(progress: Progress, run: Run): Promise<string> {
  const bin = (name: string) => join(run.cwd, 'node_modules/.bin', name)
  const checks = [
    { title: 'Types', program: bin('tsc'), args: ['-p', '.', '--pretty', 'false'] },
    { title: 'Style', program: bin('biome'), args: ['ci', '--colors=off'] },
  ]
  const complaints = await Promise.all(
    checks.map(({ title, program, args }) =>
      inStep(progress, title, async () => {
        const { ok, said } = await runQuietly(program, args, run)
        if (!ok) throw new Complaint(said.trim())
        return ''
      }).catch(error => {
        if (error instanceof Complaint) return error.message
        throw error
      }),
    ),
  )
  return complaints.filter(Boolean).join('\n\n')
}

class Complaint extends Error {}
