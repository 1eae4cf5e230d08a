import { randomBytes } from 'node:crypto'

/** A credential of 256 random bits, with a prefix that says what it is, so that a leaked one is recognised. */
export const randomToken = (prefix: string): string => `${prefix}_${randomBytes(32).toString('base64url')}`
