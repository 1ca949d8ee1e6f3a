// A certified OpenID Connect provider (panva/oidc-provider) on the loopback. Its page for signing in is ours, because
// the one it brings loads fonts from the internet: whatever is typed as the name is who one is. For tests of the
// sign-in in a real browser.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

export const client = { id: 'waybill', secret: 'client-secret-of-a-test' };

const page = `<!doctype html><html lang="en"><title>Example Inc</title><form method="post">
<label>Name <input name="login" autofocus></label> <button name="do" value="login">Sign in</button>
<button name="do" value="cancel">Cancel</button></form></html>`;

/** Starts it on a free port for a client that is led back to `redirect`. */
export async function startProvider(redirect) {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: client.id,
        client_secret: client.secret,
        redirect_uris: [redirect],
        response_types: ['code'],
        grant_types: ['authorization_code'],
      },
    ],
    // as most do: what a scope brings is in the user info, not in the ID token
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['groups'] },
    pkce: { required: () => true },
    cookies: { keys: ['a key of a test'] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    loadExistingGrant: async ({ oidc }) => {
      const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope('openid email profile'); // nobody is asked for consent
      await grant.save();
      return grant;
    },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, groups: ['administrators'] }),
    }),
  });
  const standard = provider.callback();
  server.on('request', async (request, response) => {
    if (!request.url.startsWith('/interaction/')) return standard(request, response);
    if (request.method === 'GET') return response.setHeader('Content-Type', 'text/html').end(page);
    let body = '';
    for await (const part of request) body += part;
    const form = new URLSearchParams(body);
    const result =
      form.get('do') === 'login'
        ? { login: { accountId: form.get('login') } }
        : { error: 'access_denied', error_description: 'the person said no' };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  });
  return { issuer, stop: () => new Promise((done) => server.close(done).closeAllConnections()) };
}
