// The unmodified flow of the MCP SDK's client after a 401: discovery, consent, tokens, refresh.
import { auth } from '@modelcontextprotocol/sdk/client/auth.js'
import { withOAuth } from '@modelcontextprotocol/sdk/client/middleware.js'
import { agree } from './browser.mjs'

// The minimal provider that the SDK requires: it stores the values that it receives.
class Program {
  constructor(client) {
    this.client = client
    this.kept = {}
  }
  get redirectUrl() { return this.client.redirect_uri }
  get clientMetadata() { return { redirect_uris: [this.redirectUrl], client_name: 'a program', scope: 'chat' } }
  clientInformation() { return { client_id: this.client.client_id, client_secret: this.client.client_secret || undefined } }
  tokens() { return this.kept.tokens }
  saveTokens(tokens) { this.kept.tokens = tokens }
  redirectToAuthorization(url) { this.kept.url = url }
  saveCodeVerifier(verifier) { this.kept.verifier = verifier }
  codeVerifier() { return this.kept.verifier }
}

export async function flows({ issuer, person, confidential, open }) {
  const found = {}
  for (const [name, client] of Object.entries({ confidential, open })) {
    const program = new Program(client)
    const begun = await auth(program, { serverUrl: issuer })
    const sent = await agree(program.kept.url, person)
    const ended = await auth(program, { serverUrl: issuer, authorizationCode: sent.searchParams.get('code') })
    const first = program.kept.tokens
    const me = await withOAuth(program, issuer)(fetch)(`${issuer}/v1/auth/me`)
    const again = await auth(program, { serverUrl: issuer })
    found[name] = {
      begun, ended, again, asked: program.kept.url.searchParams.get('scope'), scope: first.scope,
      resource: program.kept.url.searchParams.get('resource'), me: await me.json(),
      refreshed: program.kept.tokens.access_token !== first.access_token,
    }
  }
  return found
}
