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
const scope = 'https://www.googleapis.com/auth/cloud-platform';

let made = 0;
function newKey() {
  made += 1;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: `key-${made}`, use: 'sig', alg: 'RS256' };
}

function provider(issuer, keys) {
  return new Provider(issuer, {
    jwks: { keys },
    clients: [
      {
        client_id: 'tests',
        client_secret: 'tests',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        scope,
      },
    ],
    scopes: [scope],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: () => ({
          scope,
          audience,
          accessTokenFormat: 'jwt',
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
