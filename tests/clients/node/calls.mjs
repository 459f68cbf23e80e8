// Calls of Dataproc's client over REST: host, port, token. Prints the answer to each.

import dataproc from '@google-cloud/dataproc';
import { OAuth2Client } from 'google-auth-library';

const [apiEndpoint, port, token] = process.argv.slice(2);
const authClient = new OAuth2Client();
authClient.setCredentials({ access_token: token, expiry_date: Date.now() + 3600_000 });
const client = new dataproc.v1.JobControllerClient({
  fallback: true, protocol: 'http', apiEndpoint, port: Number(port), authClient,
});
// The client sends `{}` for regions and `""` for locations.
for (const place of ['regions', 'locations']) {
  const name = `projects/demo/${place}/us-central1/operations/job-1`;
  await client.cancelOperation({ name });
  console.log(`cancel ${place}`);
}
try {
  await client.cancelOperation({ name: 'projects/other/regions/us-central1/operations/job-9' });
} catch (error) {
  // This version of the client gives the body of an error as its message.
  console.log(`denied ${error.code} ${JSON.parse(error.message).error.details[0].reason}`);
}
