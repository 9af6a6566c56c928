// Every flow with the unmodified oauth4webapi. A library option permits http on loopback.
import * as oauth from 'oauth4webapi'
import { agree } from './browser.mjs'

export async function flows({ issuer: address, person, confidential, open }) {
  const loose = { [oauth.allowInsecureRequests]: true }
  const issuer = new URL(address)
  const found = {}

  const resource = await oauth.processResourceDiscoveryResponse(
    issuer, await oauth.resourceDiscoveryRequest(issuer, loose))
  found.authorization_servers = resource.authorization_servers
  const as = await oauth.processDiscoveryResponse(
    issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...loose }))

  const itself = { client_id: confidential.client_id }
  for (const [name, proof] of [
    ['basic', oauth.ClientSecretBasic(confidential.client_secret)],
    ['post', oauth.ClientSecretPost(confidential.client_secret)],
  ]) {
    const answer = await oauth.clientCredentialsGrantRequest(as, itself, proof, { scope: 'chat' }, loose)
    found[`client_credentials_${name}`] = (await oauth.processClientCredentialsResponse(as, itself, answer)).scope
  }

  const client = { client_id: open.client_id }
  const login = async () => {
    const verifier = oauth.generateRandomCodeVerifier()
    const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
    const url = new URL(as.authorization_endpoint)
    for (const [name, value] of Object.entries({
      client_id: client.client_id, redirect_uri: open.redirect_uri, response_type: 'code', state, nonce,
      scope: 'openid email chat', resource: address, code_challenge_method: 'S256',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    })) url.searchParams.set(name, value)
    const parameters = oauth.validateAuthResponse(as, client, await agree(url, person), state)
    const exchange = () => oauth.authorizationCodeGrantRequest(
      as, client, oauth.None(), parameters, open.redirect_uri, verifier, loose)
    const answer = await exchange()
    const tokens = await oauth.processAuthorizationCodeResponse(
      as, client, answer, { expectedNonce: nonce, requireIdToken: true })
    await oauth.validateApplicationLevelSignature(as, answer, loose)
    return { tokens, exchange }
  }
  const refresh = async (token) => oauth.processRefreshTokenResponse(
    as, client, await oauth.refreshTokenGrantRequest(as, client, oauth.None(), token, loose))
  const refused = async (promise) => promise.then(() => 'taken', (error) => error.error ?? String(error))

  const first = await login()
  found.email = oauth.getValidatedIdTokenClaims(first.tokens).email
  const me = await fetch(new URL('/v1/auth/me', issuer), {
    headers: { authorization: `Bearer ${first.tokens.access_token}` },
  })
  found.me = await me.json()

  const second = await refresh(first.tokens.refresh_token)
  const third = await refresh(second.refresh_token)
  found.reused = await refused(refresh(first.tokens.refresh_token))
  found.after_reuse = await refused(refresh(third.refresh_token))

  const other = await login()
  const revocation = await oauth.revocationRequest(as, client, oauth.None(), other.tokens.refresh_token, loose)
  found.revocation = await oauth.processRevocationResponse(revocation) ?? 'revoked'
  found.after_revocation = await refused(refresh(other.tokens.refresh_token))

  const twice = await login()
  found.code_again = await refused((async () => oauth.processAuthorizationCodeResponse(
    as, client, await twice.exchange()))())
  found.after_code_again = await refused(refresh(twice.tokens.refresh_token))
  return found
}
