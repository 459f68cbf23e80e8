// The route table of ../policies, served by Express as it comes: routes without regard to case, on the path as it was
// sent, with parameters decoded after that. Before them stand the middlewares that many services have: one that takes the
// method from a header, the query or the body (npm `method-override`), one that reads JSON, and one that reads forms, also
// where no type is given.
//
//   node server.mjs PORT
//
// Writes a line of JSON for each request to standard output.

import express from 'express';
import methodOverride from 'method-override';

const app = express();
app.disable('x-powered-by');

const form = (request) => {
  const type = request.headers['content-type'];
  return type === undefined || type.startsWith('application/x-www-form-urlencoded');
};
// What takes any bytes (`body: stream` of the iam file) reads them as bytes, whatever type they are said to have.
const bytes = (request) => request.method === 'PUT' || /^\/v1\/projects\/[^/]+\/hooks\//i.test(request.path);
app.use(express.raw({ type: bytes, limit: '1mb' }));
app.use(express.json({ strict: false }));
app.use(express.urlencoded({ type: form, extended: true }));
for (const name of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', '_method', '_HttpMethod']) {
  app.use(methodOverride(name, { methods: null }));
}
app.use(methodOverride((request) => request.body?._method, { methods: null }));

function tell(request, response, ran, resource) {
  const body = request.body;
  const line = JSON.stringify({
    id: request.get('x-request-id') ?? '',
    case: request.get('user-agent') ?? '',
    http: request.method,
    ran,
    resource,
    headers: Object.keys(request.headers).join(' '),
    length: Buffer.isBuffer(body) ? body.length : 0,
  });
  process.stdout.write(`${line}\n`);
  response.status(ran === '' ? 404 : 200).type('json').send(line);
}

// What a handler takes for the resource: the body first, then the query, then the path.
const run = (method, resource, field = 'name') => (request, response) => {
  const said = request.body?.[field] ?? request.query[field];
  tell(request, response, method, typeof said === 'string' ? said : resource(request.params));
};
const thing = ({ project, thing }) => `projects/${project}/things/${thing}`;
const literal = (name) => ({ project }) => `projects/${project}/things/${name}`;
const rest = ({ project, rest = [] }) => ['projects', project, 'files', ...rest].join('/');
const transfer = ({ project, transfer }) => `projects/${project}/transferOperations/${transfer}`;

// The first route that matches runs: verbs and literals stand before wildcards.
const things = '/v1/projects/:project/things';
app.get(`${things}/:thing\\:exportSecrets`, run('things.v1.Things.Export', thing));
app.post(`${things}/:thing\\:testIamPermissions`, run('things.v1.Things.TestIamPermissions', thing, 'resource'));
app.post(`${things}/:thing\\:purge`, run('things.v1.Things.Purge', thing));
app.get(`${things}/root`, run('things.v1.Things.GetRoot', literal('root')));
app.get(`${things}/audit`, run('things.v1.Things.GetAudit', literal('audit')));
app.get(`${things}/vault`, run('vault.v1.Vaults.GetThing', literal('vault')));
app.get(`${things}/:thing`, run('things.v1.Things.Get', thing));
app.delete(`${things}/:thing`, run('things.v1.Things.Delete', thing));
app.put(`${things}/:thing`, run('things.v1.Things.Upload', thing));
app.all('/v1/projects/:project/hooks/:hook', run('things.v1.Things.Hook', ({ project, hook }) => `projects/${project}/hooks/${hook}`));
// `**` of the templates takes no segment at all, too.
app.get('/v1/projects/:project/files{/*rest}/acl', run('things.v1.Files.ReadAcl', rest));
app.get('/v1/projects/:project/files{/*rest}', run('things.v1.Files.Read', rest));
app.post('/v1/projects/:project/transferOperations/:transfer\\:cancel', run('things.v1.Transfers.Cancel', transfer));
app.get('/v1/projects/:project/transferOperations/:transfer', run('things.v1.Transfers.Get', transfer));
app.get('/v1/projects/:project/vaults/:vault', run('vault.v1.Vaults.Get', ({ project, vault }) => `projects/${project}/vaults/${vault}`));
app.get('/v1/projects/:project/:collection/:item', run('things.v1.Items.Get', ({ project, collection, item }) => `projects/${project}/${collection}/${item}`));
app.use((request, response) => tell(request, response, '', ''));
// A body that was cut, or a path that does not decode.
app.use((error, request, response, next) => {
  if (response.headersSent) return next(error);
  response.status(error.status ?? 500).json({ error: String(error.message) });
});

const server = app.listen(Number(process.argv[2]), '127.0.0.1');
server.keepAliveTimeout = 600_000;
// The test that started it is gone.
process.stdin.on('end', () => process.exit()).resume();
