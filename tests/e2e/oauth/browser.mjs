// A user at the consent page: handles cookies, hidden fields and the form like a browser.
const HIDDEN = /<input type="hidden" name="([^"]*)" value="([^"]*)">/g
const ENTITIES = { '&quot;': '"', '&#x27;': "'", '&lt;': '<', '&gt;': '>', '&amp;': '&' }
const unescape = (text) => text.replace(/&(?:quot|#x27|lt|gt|amp);/g, (entity) => ENTITIES[entity])

// Logs in, consents, and returns the redirect URL to the client.
export async function agree(url, { email, password }) {
  const page = await fetch(url, { redirect: 'manual' })
  if (page.status !== 200) throw new Error(`the page answered ${page.status}: ${await page.text()}`)
  const html = await page.text()
  const form = new URLSearchParams()
  for (const [, name, value] of html.matchAll(HIDDEN)) form.append(unescape(name), unescape(value))
  form.append('email', email)
  form.append('password', password)
  form.append('decision', 'allow')
  const cookie = page.headers.getSetCookie()[0].split(';')[0]
  const action = unescape(html.match(/<form method="post" action="([^"]*)">/)[1])
  const answer = await fetch(new URL(action, url), {
    method: 'POST', body: form, headers: { cookie }, redirect: 'manual',
  })
  if (answer.status !== 303) throw new Error(`the form answered ${answer.status}: ${await answer.text()}`)
  return new URL(answer.headers.get('location'))
}
