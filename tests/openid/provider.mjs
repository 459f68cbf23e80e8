// A certified OpenID provider (npm `oidc-provider`), as an issuer that the gate has not been written with in mind.
//
// Writes `listening URL` to standard output. Each line on standard input changes its keys, and is answered by `done`:
//   publish    another key is there, and not signed with yet
//   use        the newest key signs
//   withdraw   all others are gone

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const audience = 'https://opgate.demo.localhost';
// The same audience by another name: tokens for it are opaque, and the provider is asked about them.
const opaque = 'https://opgate.demo.localhost/opaque';
const scope = 'https://www.googleapis.com/auth/cloud-platform';

let made = 0;
function newKey() {
  made += 1;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: `key-${made}`, use: 'sig', alg: 'RS256' };
}

function client(client_id, more = {}) {
  return {
    client_id,
    client_secret: client_id,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope,
    ...more,
  };
}

function provider(issuer, keys) {
  return new Provider(issuer, {
    jwks: { keys },
    clients: [
      client('tests'),
      client('certified', { tls_client_certificate_bound_access_tokens: true }),
      client('gate'),
    ],
    scopes: [scope],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      dPoP: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        // As a server tells that has ended the client's TLS.
        getCertificate: (ctx) => ctx.get('client-certificate') || undefined,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: (ctx, resource) => ({
          scope,
          audience,
          accessTokenFormat: resource === opaque ? 'opaque' : 'jwt',
          accessTokenTTL: 300,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: () => ({ email: 'ana@example.com', email_verified: true }),
  });
}

let keys = [newKey()];
let handle;
const server = createServer((request, response) => handle(request, response));
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const apply = () => {
    handle = provider(issuer, keys).callback();
  };
  const commands = {
    publish: () => keys.push(newKey()),
    // The first key that fits is the one that signs.
    use: () => keys.unshift(keys.pop()),
    withdraw: () => keys.splice(1),
  };
  apply();
  console.log(`listening ${issuer}`);
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    commands[line]();
    apply();
    console.log('done');
  });
  // The test that started it is gone.
  lines.on('close', () => process.exit());
});
