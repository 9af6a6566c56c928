// `node run.mjs <library>`: what to use on stdin, what came of it on stdout, both JSON.
import { readFileSync } from 'node:fs'

const { flows } = await import(`./${process.argv[2]}.mjs`)
console.log(JSON.stringify(await flows(JSON.parse(readFileSync(0, 'utf8')))))
