import { randomBytes } from 'node:crypto'
import { challengeAnswer, challengeAudience, type PublicKey } from '@porthole/protocol'
import { importJWK, jwtVerify } from 'jose'
import { type Dispatcher, request } from 'undici'
import { Problem } from '../problem.ts'

const deadlineMs = 5000
const maxAnswerBytes = 16 * 1024

const refuse = (detail: string, cause?: unknown) => new Problem('join-refused', { detail, cause })

/**
 * Calls a joining host at the URL it advertises: only an agent that is really there, with the key it claims, can answer.
 * So a wrong address is found when the host joins, not when the first view stays blank.
 *
 * @throws Problem `join-refused`
 */
export const callBack = async (dispatcher: Dispatcher, url: string, publicKey: PublicKey): Promise<void> => {
  const nonce = randomBytes(24).toString('base64url')
  let text: string
  try {
    const answer = await request(`${url}/v1/challenge`, {
      dispatcher,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ nonce }),
      signal: AbortSignal.timeout(deadlineMs),
    })
    text = ''
    for await (const chunk of answer.body) {
      text += chunk
      if (text.length > maxAnswerBytes) throw new Error('the answer is too long')
    }
    if (answer.statusCode !== 200) throw new Error(`the answer was ${answer.statusCode}`)
  } catch (cause) {
    throw refuse('nobody answers at the URL the host advertises: set PORTHOLE_AGENT_URL to one we can reach', cause)
  }
  try {
    const { proof } = challengeAnswer.parse(JSON.parse(text))
    const { payload } = await jwtVerify(proof, await importJWK(publicKey, 'EdDSA'), {
      audience: challengeAudience,
      algorithms: ['EdDSA'],
      maxTokenAge: 60,
      clockTolerance: 30,
    })
    if (payload.nonce !== nonce) throw new Error('the nonce is another one')
  } catch (cause) {
    throw refuse('whoever answers at the URL the host advertises does not have its key', cause)
  }
}
