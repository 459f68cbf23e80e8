//! Files that have each mapping of the schemas at least once, and that load.

/// The kind of file, where it is, and its text.
pub const ALL: [(&str, &str, &str); 19] = [
    ("configuration", "config/opgate.yaml", CONFIGURATION),
    ("service", "policies/services/lab.yaml", SERVICE),
    ("iam", "policies/services/lab.iam.yaml", IAM),
    ("role", "policies/roles/reader.yaml", ROLE),
    ("allow", "policies/allow/projects/demo.yaml", ALLOW),
    ("allow", "policies/allow/projects/listed.yaml", LISTED),
    ("allow", "policies/allow/projects/asset.yaml", ASSET),
    ("allow", "policies/allow/projects/found.yaml", FOUND),
    ("deny", "policies/deny/projects/demo/freeze.yaml", DENY),
    ("boundary", "policies/boundaries/policy.yaml", BOUNDARY),
    ("boundary", "policies/boundaries/binding.yaml", BINDING),
    ("hierarchy", "policies/hierarchy.yaml", HIERARCHY),
    ("groups", "policies/groups.yaml", "oncall@example.com: ['user:ana@example.com']\n"),
    ("tags", "policies/tags.yaml", "projects/demo: {123456789012/env: prod}\n"),
    ("tests", "policies/tests/lab.yaml", TESTS),
    // The same in the other spelling, and with keys that have no value.
    ("service", "policies/services/lab2.yaml", OTHER_SERVICE),
    ("iam", "policies/services/lab2.iam.yaml", OTHER_IAM),
    (
        "role",
        "policies/roles/other.yaml",
        "name: roles/lab.other\nincluded_permissions:\n- lab.jobs.get\ntitle:\n",
    ),
    ("deny", "policies/deny/projects/demo/other.yaml", OTHER_DENY),
];

const CONFIGURATION: &str = "
listeners:
- address: 127.0.0.1:8443
  http2: true
  health_path: /healthz
  proxy_protocol: {addresses: [10.0.0.0/8]}
  tcp_keep_alive: {idle: 60s}
  tls:
    certificates: [{cert: server.pem, key: server-key.pem}]
    client_ca: clients-ca.pem
    client_certificates: optional
    client_pool: iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/mesh
    client_identity: principal
    client_scopes: [https://www.googleapis.com/auth/cloud-platform]
- address: 127.0.0.1:8444
  frontend: forward_auth
  authorizer: {from: [10.0.0.7], shape: nginx, body: announced}
admin:
  address: 127.0.0.1:9901
  hosts: [opgate.monitoring.svc]
  explain: {address: '127.0.0.1:9902', token_file: admin-token}
  recent: {lines: 100, bytes: 1MiB}
upstreams:
  lab:
    endpoints: [127.0.0.1:9000, {srv: _http._tcp.backend.internal}]
    tls: {ca: clients-ca.pem, cert: server.pem, key: server-key.pem, sni: lab.example.com}
    timeouts: {connect: 1s}
    limits: {requests: 10}
    outliers: {failures: 3}
    health_check: {path: /healthz}
services:
  lab:
    upstream: lab
    forward: [principal, assertion, request_id]
    request_headers: [accept]
    cors: {origins: ['https://app.example.com']}
    protected_resource: https://lab.example.com
    grpc: {health: pass}
    shadow: false
    limits: {message_bytes: 1MiB, methods: {lab.v1.Jobs.Poke: {deadline: 1m}}}
  lab2: {upstream: lab, hosts: [lab2.example.com]}
issuers:
  staff:
    issuer: https://login.example.com
    audiences: [https://lab.example.com]
    keys: {url: 'https://login.example.com/jwks.json', refresh: 1m}
    required_claims: {token_use: access, level: 3, staff: true}
    email_domains: [example.com]
    groups: {claim: groups, as: group}
    proof_of_possession: {tokens: optional, kinds: [mtls, dpop], nonces: true}
  pool:
    issuer: https://pool.example.com
    audiences: [https://lab.example.com]
    keys: {discovery: openid}
    subject_pool: iam.googleapis.com/locations/global/workforcePools/staff
    attribute_mapping: {google.subject: assertion.sub}
  robots:
    service_accounts: [ci@demo.iam.gserviceaccount.com]
    keys: {url: 'https://www.googleapis.com/service_accounts/v1/jwk/{email}'}
  partner:
    issuer: https://login.partner.example
    audiences: [https://lab.example.com]
    email_domains: [partner.example]
    introspection:
      url: https://login.partner.example/introspect
      client_id: opgate
      client_secret_file: partner.secret
      prefix: pt_
  google:
    issuer: https://accounts.google.com
    audiences: [https://lab.example.com]
    email_domains: [gmail.com]
    tokeninfo: {url: 'https://oauth2.googleapis.com/tokeninfo', prefix: ya29.}
policy: {directory: ../policies, foreign_pools: []}
limits: {head_bytes: 32KiB}
dns: {servers: ['127.0.0.1:1'], refresh: 30s, timeout: 10ms}
trusted_proxies: {addresses: [10.0.0.0/8]}
assertion: {issuer: 'https://gate.example.com', keys: [assertion-key.pem]}
audit: {output: 'off', redact: [path]}
cancels: {tracked: 10}
telemetry:
  log: info
  otlp:
    endpoint: http://127.0.0.1:4318
    headers_file: collector.headers
    resource_attributes: {a: b}
    traces: {allowed: 0.5}
upgrade: {socket: upgrade.sock}
workers: 2
";

const SERVICE: &str = "
type: google.api.Service
config_version: 3
name: lab.example.com
apis: [{name: lab.v1.Jobs, version: v1}]
endpoints: [{name: lab.example.com, allow_cors: false, target: 10.0.0.1}]
backend: {rules: [{selector: '*', deadline: 30.0, address: https://x}, {selector: lab.v1.Jobs.Poke}]}
documentation: {summary: x, pages: [{name: y}]}
http:
  rules:
  - selector: lab.v1.Jobs.GetJob
    get: '/v1/{name=projects/*/jobs/*}'
    response_body: job
    additional_bindings:
    - get: '/v2/{name=projects/*/jobs/*}'
    - custom: {kind: HEAD, path: '/v2/{name=projects/*/jobs/*}'}
  - selector: lab.v1.Jobs.Poke
    custom: {kind: POKE, path: '/v1/{name=projects/*/jobs/*}'}
authentication:
  providers:
  - id: staff
    issuer: https://login.example.com
    jwt_locations: [{header: Authorization, value_prefix: 'Bearer '}]
  rules:
  - selector: '*'
    oauth: {canonical_scopes: 'https://www.googleapis.com/auth/cloud-platform'}
  - selector: lab.v1.Jobs.Poke
    requirements: [{provider_id: staff, audiences: 'https://lab.example.com'}]
";

const OTHER_SERVICE: &str = "
type: google.api.Service
configVersion: 3
name: lab2.example.com
apis:
title:
http:
  fullyDecodeReservedExpansion: true
  rules:
  - selector: lab.v2.Jobs.GetJob
    get: '/v1/{name=projects/*/jobs/*}'
    body:
    additionalBindings: [{get: '/v2/{name=projects/*/jobs/*}', selector: lab.v2.Jobs.GetJob}]
authentication:
  rules:
  - {selector: '*', allowWithoutCredential: true, oauth: {canonicalScopes: }}
systemParameters: {}
";

const IAM: &str = "
service: lab.example.com
rules:
- selector: lab.v1.Jobs.GetJob
  permission: lab.jobs.get
  resource: name
  body: empty
  scopes: [https://www.googleapis.com/auth/cloud-platform]
- selector: lab.v1.Jobs.Poke
  permission: none
  body: empty
";

const OTHER_IAM: &str = "
service: lab2.example.com
error_domain: lab.example.com
rules:
- selector: lab.v2.Jobs.GetJob
  permission: lab.jobs.get
  resource: null
  scopes: none
  permission_type: DATA_READ
  resource_type: lab.example.com/Job
  unimplemented: false
";

const ROLE: &str = "
name: roles/lab.reader
title: Reader
description: Look at jobs.
stage: GA
etag: BwXhqDGkBgE=
includedPermissions: [lab.jobs.get]
";

const ALLOW: &str = "
version: 3
etag: BwXhqDGkBgE=
bindings:
- role: roles/lab.reader
  members: ['group:oncall@example.com']
  condition: {title: until, expression: \"request.time < timestamp('2030-01-01T00:00:00Z')\", description: x}
auditConfigs:
- service: allServices
  auditLogConfigs: [{logType: DATA_READ, exemptedMembers: ['user:bob@example.com']}]
";

const LISTED: &str =
    "[{bindings: [{role: roles/lab.reader, members: ['user:ana@example.com'], condition: null}]}]\n";

const ASSET: &str = "
name: //cloudresourcemanager.googleapis.com/projects/asset
asset_type: cloudresourcemanager.googleapis.com/Project
iam_policy: {bindings: [{role: roles/lab.reader, members: ['user:ana@example.com'], condition: null}]}
";

const FOUND: &str = "
resource: //cloudresourcemanager.googleapis.com/projects/found
project: projects/1
policy: {bindings: [{role: roles/lab.reader, members: ['user:ana@example.com'], condition: null}]}
";

const DENY: &str = "
displayName: freeze
kind: DenyPolicy
etag: x
rules:
- description: nothing moves
  denyRule:
    deniedPrincipals: ['principalSet://goog/public:all']
    exceptionPrincipals: ['principal://goog/subject/ana@example.com']
    deniedPermissions: [lab.googleapis.com/jobs.delete]
    denialCondition: {expression: \"request.time < timestamp('2030-01-01T00:00:00Z')\"}
";

const OTHER_DENY: &str = "
rules:
- deny_rule:
    denied_principals: ['principalSet://goog/public:all']
    denied_permissions: [lab.googleapis.com/jobs.delete]
    exception_permissions:
    denial_condition:
";

const BOUNDARY: &str = "
name: organizations/7/locations/global/principalAccessBoundaryPolicies/lab
displayName: lab
details:
  enforcementVersion: latest
  rules:
  - description: the lab
    effect: ALLOW
    resources: ['//cloudresourcemanager.googleapis.com/projects/demo']
";

const BINDING: &str = "
name: organizations/7/locations/global/policyBindings/lab
target: {principalSet: '//iam.googleapis.com/locations/global/workforcePools/staff'}
policyKind: PRINCIPAL_ACCESS_BOUNDARY
policy: organizations/7/locations/global/principalAccessBoundaryPolicies/lab
condition: {expression: \"principal.type == 'iam.googleapis.com/WorkforcePoolIdentity'\"}
";

const HIERARCHY: &str = "
projects/demo: {parent: folders/42, projectNumber: 123456}
folders/42: organizations/7
";

const TESTS: &str = "
- name: ana may look
  principal: user:ana@example.com
  scopes: [https://www.googleapis.com/auth/cloud-platform]
  call: GET https://lab.example.com/v1/projects/demo/jobs/j
  time: 2026-03-01T12:00:00Z
  origin: {ip: 192.0.2.7}
  expect: allowed
  rule: allow/projects/demo.yaml
- name: a stranger may not
  claims: {iss: https://login.example.com, email: eve@example.com, email_verified: true}
  method: lab.v1.Jobs.GetJob
  resource: projects/demo/jobs/j
  time: 2026-03-01T12:00:00Z
  expect: denied
";
