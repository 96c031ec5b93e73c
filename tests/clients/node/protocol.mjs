// The driver's side of tests/clients/PROTOCOL.md for drivers written in JavaScript.
//
// Owns: reading requests, writing answers, records as JSON. Must never know: any client library.

import { createInterface } from 'node:readline'

export const WAIT_MS_MAX = 20_000

export const encode = (data) => (data === null || data === undefined ? null : Buffer.from(data).toString('base64'))
export const decode = (text) => (text === null ? null : Buffer.from(text, 'base64'))
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits until `seen()` is true and throws with the name of what was waited for when it never is. */
export async function until(what, seen, describe = () => '') {
  const ends = Date.now() + WAIT_MS_MAX
  while (!seen()) {
    if (Date.now() > ends) throw new Error(`waited too long for ${what}; seen so far: ${JSON.stringify(describe())}`)
    await sleep(10)
  }
}

/** The sorted numbers that are in exactly one of two lists, or null when the lists overlap. */
export function disjointUnion(first, second) {
  const both = [...first, ...second]
  return new Set(both).size === both.length ? both.sort((a, b) => a - b) : null
}

/** Greets, then answers requests one after another until the input ends. */
export async function serve(greeting, operations, close) {
  const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
  say({ ...greeting, can: Object.keys(operations) })
  for await (const line of createInterface({ input: process.stdin })) {
    const { op, ...request } = JSON.parse(line)
    try {
      say({ ok: await operations[op](request) })
    } catch (error) {
      console.error(error)
      say({ error: `${error?.name ?? 'Error'}: ${error?.message ?? JSON.stringify(error)}` })
    }
  }
  await close()
  process.exit(0)
}
