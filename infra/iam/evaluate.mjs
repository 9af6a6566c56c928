// Requests and policies on stdin, `Allowed` or how it was denied for each on stdout; both JSON.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const { account, requests } = JSON.parse(readFileSync(0, 'utf8'))
const answers = []
for (const { action, resource, context, policy } of requests) {
  const found = await runSimulation({
    request: {
      principal: `arn:aws:sts::${account}:assumed-role/atrium/one`, action,
      resource: { resource, accountId: account }, contextVariables: context,
    },
    identityPolicies: [{ name: 'own', policy }], serviceControlPolicies: [], resourceControlPolicies: [],
  }, {})
  answers.push(found.resultType === 'error' ? `error: ${JSON.stringify(found.errors)}` : found.overallResult)
}
console.log(JSON.stringify(answers))
