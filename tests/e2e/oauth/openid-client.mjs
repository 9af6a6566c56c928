// Every flow with the unmodified openid-client. A library option permits http on loopback.
import * as openid from 'openid-client'
import { agree } from './browser.mjs'

export async function flows({ issuer, person, confidential }) {
  const found = {}
  const config = await openid.discovery(
    new URL(issuer), confidential.client_id, confidential.client_secret,
    openid.ClientSecretBasic(confidential.client_secret), { execute: [openid.allowInsecureRequests] })
  found.issuer = config.serverMetadata().issuer

  const own = await openid.clientCredentialsGrant(config, { scope: 'chat', resource: issuer })
  found.client_credentials = own.scope
  found.introspection = await openid.tokenIntrospection(config, own.access_token)
  await openid.tokenRevocation(config, own.access_token)
  found.introspection_after_revocation = await openid.tokenIntrospection(config, own.access_token)

  const verifier = openid.randomPKCECodeVerifier()
  const [state, nonce] = [openid.randomState(), openid.randomNonce()]
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: confidential.redirect_uri, scope: 'openid profile chat', state, nonce,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  })
  const tokens = await openid.authorizationCodeGrant(config, await agree(url, person), {
    pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true,
  })
  found.subject = tokens.claims().sub
  const refused = async (promise) => promise.then(() => 'taken', (error) => error.error ?? String(error))
  const second = await openid.refreshTokenGrant(config, tokens.refresh_token)
  const third = await openid.refreshTokenGrant(config, second.refresh_token)
  found.reused = await refused(openid.refreshTokenGrant(config, tokens.refresh_token))
  found.after_reuse = await refused(openid.refreshTokenGrant(config, third.refresh_token))
  return found
}
