// `node run.mjs <library>`: reads the configuration from stdin and writes the results to stdout, both as JSON.
import { readFileSync } from 'node:fs'

const { flows } = await import(`./${process.argv[2]}.mjs`)
console.log(JSON.stringify(await flows(JSON.parse(readFileSync(0, 'utf8')))))
