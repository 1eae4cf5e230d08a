import { engineCases } from './engine-cases.ts'
import { EngineUnavailable } from './errors.ts'
import { fakeEngine } from './fake.ts'

const image = 'fake:1'

engineCases(async () => ({
  engine: fakeEngine({
    images: [image],
    program: ({ command }) => (command?.[0] === 'end' ? { exitCode: Number(command[1]), log: command.slice(2) } : {}),
  }),
  down: fakeEngine({ fault: call => new EngineUnavailable(call) }),
  image,
  runOn: {},
  writeAndEnd: (lines, exitCode) => ({ command: ['end', String(exitCode), ...lines] }),
  network: 'porthole-test',
  timeout: 2000,
}))
