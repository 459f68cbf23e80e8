// Calls of Google's Node clients (google-gax) over gRPC, their default transport. The argument is the file of a plan: hosts
// and tokens. Prints a line of JSON for each: its row, and the answer or what the exception says. TLS has the roots of
// GRPC_DEFAULT_SSL_ROOTS_FILE_PATH.

import { readFileSync } from 'node:fs';
import dataproc from '@google-cloud/dataproc';
import translate from '@google-cloud/translate';
import gax from 'google-gax';
import { OAuth2Client } from 'google-auth-library';

const plan = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const place = 'projects/demo/regions/us-central1';
const job = `${place}/operations/job-1`;

async function row(name, call, told = () => null) {
  let line;
  try {
    line = { answer: told(await call()) };
  } catch (error) {
    if (error.code === undefined) throw error;
    line = {
      code: gax.grpc.status[error.code], message: error.details, reason: error.reason ?? null,
      domain: error.domain ?? null, metadata: error.errorInfoMetadata ?? {},
    };
  }
  console.log(JSON.stringify({ row: name, ...line }));
}

// Without a token, this sends no `authorization`.
function options(host, token) {
  const authClient = new OAuth2Client();
  if (token) authClient.setCredentials({ access_token: token, expiry_date: Date.now() + 3600_000 });
  else authClient.getRequestHeaders = async () => new Headers();
  const [apiEndpoint, port] = plan[host].split(':');
  return { apiEndpoint, port: Number(port), authClient };
}

const clients = (token, host = 'dataproc') => new dataproc.v1.ClusterControllerClient(options(host, token));
const texts = (token) => new translate.v3.TranslationServiceClient(options('translation', token));
// The clients try again where a backend is not there.
const once = { retry: null, timeout: 30_000 };
const cluster = { projectId: 'demo', region: 'us-central1', clusterName: 'one' };

async function allowed(token) {
  const client = clients(token);
  await row('get', () => client.getOperation({ name: job }), ([found]) => found.name);
  await row('list', async () => {
    const names = [];
    for await (const found of client.listOperationsAsync({ name: `${place}/operations` })) names.push(found.name);
    return names;
  }, (names) => names);
  await row('cancel', () => client.cancelOperation({ name: job }));
  await row('delete', () => client.deleteOperation({ name: job }));
  await row('ordinary', () => client.getCluster(cluster), ([found]) => found.clusterName);
  await row('ordinary list', () => client.listClusters({ projectId: 'demo', region: 'us-central1' }),
    ([found]) => found.map((one) => one.clusterName));
  const text = { parent: 'projects/demo/locations/l', contents: ['hi'], targetLanguageCode: 'de' };
  await row('translate', () => texts(token).translateText(text),
    ([found]) => found.translations.map((one) => one.translatedText));
}

async function refused(tokens) {
  const get = (client, name = job, settings = once) => () => client.operationsClient.getOperation({ name }, settings);
  const rows = [['no token'], ['expired', 'expired'], ['bad token', 'forged'], ['no scope', 'narrow'],
    ['no permission', 'stranger']];
  for (const [name, token] of rows) await row(name, get(clients(token && tokens[token])));
  const client = clients(tokens.good);
  await row('another project', () => client.cancelOperation({ name: job.replace('demo', 'other') }));
  await row('no name', get(client, ''));
  await row('another cluster', () => client.getCluster({ ...cluster, projectId: 'other' }, once));
  await row('unimplemented', () => client.diagnoseCluster(cluster, once));
  await row('unknown method', () => texts(tokens.good).getSupportedLanguages({ parent: 'projects/demo' }, once));
  await row('not found', get(client, `${place}/operations/missing-1`));
  await row('deadline', get(client, `${place}/operations/slow-1`, { retry: null, timeout: 500 }));
  await row('late backend', get(clients(tokens.good, 'late'), `${place}/operations/slow-2`));
  await row('no backend', get(clients(tokens.good, 'dead'), `${place}/operations/slow-2`));
}

await allowed(plan.tokens.good);
await refused(plan.tokens);
process.exit(0);
