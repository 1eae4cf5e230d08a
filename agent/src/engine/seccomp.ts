import profile from './seccomp-browser.json' with { type: 'json' }

/** The profile as the engine takes it: JSON text. */
export const browserProfile = JSON.stringify(profile)
