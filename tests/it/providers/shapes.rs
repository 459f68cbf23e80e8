//! Tokens as their providers document them. The values are made up.

use serde_json::{Value, json};

use crate::harness::{CLOUD_PLATFORM, now};

/// How a provider's tokens are judged.
#[derive(Clone, Copy, Debug)]
pub enum Sent {
    Jwt,
    TokenInfo,
    Introspected,
}

/// A provider's token, and what of it matters.
pub struct Recipe {
    /// The heading of its section.
    pub heading: &'static str,
    pub sent: Sent,
    /// Members of the header beside `alg` and `kid`.
    pub header: Value,
    /// How an opaque token begins.
    pub prefix: &'static str,
    /// The claims, or the members of the answer.
    pub claims: Value,
    /// Changes after which the token is refused, and with which status. `null` removes a claim.
    pub refused: Vec<(Value, u16)>,
}

impl Recipe {
    fn jwt(heading: &'static str, header: Value, claims: Value, refused: &[(Value, u16)]) -> Self {
        let mut all = json!({ "iat": now(), "exp": now() + 3600 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        Self { heading, sent: Sent::Jwt, header, prefix: "", claims: all, refused: refused.to_vec() }
    }
}

const TENANT: &str = "72f988bf-0000-4000-8000-2d7cd011db47";

/// In the order of the page.
pub fn recipes() -> Vec<Recipe> {
    let mut recipes = vec![google(), entra_v2(), entra_v1()];
    recipes.extend([okta(), auth0(), cognito(), keycloak()]);
    recipes.extend([github(), gitlab(), kubernetes(), spiffe(), dex(), hydra()]);
    recipes
}

/// <https://cloud.google.com/docs/authentication/token-types#access-tokens>
fn google() -> Recipe {
    let client = "123456789012-abcdef.apps.googleusercontent.com";
    Recipe {
        heading: "Google",
        sent: Sent::TokenInfo,
        header: json!({}),
        prefix: "ya29.",
        claims: json!({
            "azp": client, "aud": client, "sub": "104892713650812734561",
            "scope": format!("{CLOUD_PLATFORM} https://www.googleapis.com/auth/userinfo.email openid"),
            "exp": (now() + 3599).to_string(), "expires_in": "3599",
            "email": "ana@example.com", "email_verified": "true", "access_type": "offline",
        }),
        refused: vec![
            (json!({"aud": "999999999999-other.apps.googleusercontent.com"}), 401),
            (json!({"azp": "999999999999-other.apps.googleusercontent.com"}), 401),
            (json!({"scope": "https://www.googleapis.com/auth/userinfo.email openid"}), 403),
            (json!({"email": "ana@other.example"}), 401),
            (json!({"email": "bob@example.com"}), 403),
            (json!({"email": null, "email_verified": null}), 401),
        ],
    }
}

/// <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>
fn entra_v2() -> Recipe {
    Recipe::jwt(
        "Entra v2",
        json!({"typ": "JWT"}),
        json!({
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"), "nbf": now(),
            "aio": "k2RgYFjOd", "azp": "f2d19332-a09d-48c8-a53b-c49ae5502dfc", "azpacr": "1",
            "oid": "b0d2a2f4-5d32-4a7b-9f3e-1f2a3b4c5d6e", "rh": "0.AAAA.", "roles": ["Operations.Cancel"],
            "sub": "b0d2a2f4-5d32-4a7b-9f3e-1f2a3b4c5d6e", "tid": TENANT, "uti": "AbCdEf", "ver": "2.0",
        }),
        &[
            (json!({"roles": ["Operations.Read"]}), 403),
            (json!({ "roles": null }), 403),
            (json!({"aud": "00000003-0000-0000-c000-000000000000"}), 401),
            (
                json!({"iss": "https://login.microsoftonline.com/11111111-0000-4000-8000-000000000000/v2.0"}),
                401,
            ),
            // A user's token says its own scopes.
            (json!({"scp": "User.Read"}), 403),
        ],
    )
}

fn entra_v1() -> Recipe {
    let thumbprint = "nOo3ZDrODXEK1jKWhXslHR_KXEg";
    Recipe::jwt(
        "Entra v1",
        json!({"typ": "JWT", "x5t": thumbprint}),
        json!({
            "aud": "api://operations", "iss": format!("https://sts.windows.net/{TENANT}/"), "nbf": now(),
            "aio": "E2RgYDj", "appid": "f2d19332-a09d-48c8-a53b-c49ae5502dfc", "appidacr": "1",
            "idp": format!("https://sts.windows.net/{TENANT}/"), "oid": "b0d2a2f4-5d32-4a7b-9f3e-1f2a3b4c5d6e",
            "rh": "0.AAAA.", "roles": ["Operations.Cancel"], "sub": "b0d2a2f4-5d32-4a7b-9f3e-1f2a3b4c5d6e",
            "tid": TENANT, "uti": "AbCdEf", "ver": "1.0",
        }),
        &[
            (json!({ "roles": [] }), 403),
            (json!({"aud": "https://graph.microsoft.com"}), 401),
            (json!({"iss": format!("https://sts.windows.net/{TENANT}")}), 401),
        ],
    )
}

/// <https://developer.okta.com/docs/api/oauth2/#access-token>
fn okta() -> Recipe {
    Recipe::jwt(
        "Okta",
        json!({}),
        json!({
            "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "iss": "https://example.okta.com/oauth2/default", "aud": "api://default",
            "cid": "0oa1a2b3c4d5e6f7g8h9", "uid": "00u1a2b3c4d5e6f7g8h9", "auth_time": now(),
            "scp": ["openid", "operations.cancel"], "sub": "ana@example.com",
            "groups": ["Everyone", "Operations Team"],
        }),
        &[
            (json!({"scp": ["openid"]}), 403),
            (json!({"groups": ["Everyone"]}), 403),
            (json!({ "groups": null }), 403),
            (json!({"aud": "https://example.okta.com"}), 401),
            (json!({"iss": "https://example.okta.com"}), 401),
        ],
    )
}

/// <https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles>
fn auth0() -> Recipe {
    Recipe::jwt(
        "Auth0",
        json!({"typ": "at+jwt"}),
        json!({
            "iss": "https://example.eu.auth0.com/", "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
            "aud": ["https://operations.example.com", "https://example.eu.auth0.com/userinfo"],
            "azp": "my_client_id", "client_id": "my_client_id", "jti": "a1b2c3",
            "scope": "openid profile operations.cancel", "permissions": ["operations.cancel"],
        }),
        &[
            (json!({"scope": "openid profile"}), 403),
            (json!({"sub": "auth0|000000000000000000000000"}), 403),
            (json!({"aud": "https://example.eu.auth0.com/userinfo"}), 401),
            (json!({"iss": "https://example.eu.auth0.com"}), 401),
        ],
    )
}

/// <https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html>
fn cognito() -> Recipe {
    Recipe::jwt(
        "Cognito",
        json!({}),
        json!({
            "sub": "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "device_key": "eu-central-1_device",
            "cognito:groups": ["operators"], "client_id": "1example23456789", "version": 2,
            "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_aB3dE5fG7",
            "origin_jti": "a1b2", "event_id": "e1", "token_use": "access", "auth_time": now(), "jti": "j1",
            "scope": "openid operations.example.com/cancel", "username": "ana",
        }),
        &[
            (json!({"token_use": "id", "aud": "1example23456789"}), 401),
            (json!({ "token_use": null }), 401),
            (json!({"client_id": "other"}), 401),
            (json!({ "cognito:groups": null }), 403),
            (json!({"scope": "aws.cognito.signin.user.admin"}), 403),
        ],
    )
}

/// <https://www.keycloak.org/securing-apps/oidc-layers>
fn keycloak() -> Recipe {
    Recipe::jwt(
        "Keycloak",
        json!({"typ": "JWT"}),
        json!({
            "jti": "onrtac:9f3b", "iss": "https://sso.example.com/realms/acme", "aud": ["operations", "account"],
            "sub": "f3a1c2d4-0000-4000-8000-5e6f7a8b9c0d", "typ": "Bearer", "azp": "console", "sid": "s1",
            "acr": "1", "allowed-origins": ["https://console.example.com"],
            "realm_access": {"roles": ["offline_access", "operator", "uma_authorization"]},
            "resource_access": {"account": {"roles": ["view-profile"]}},
            "scope": "email profile operations.cancel", "email_verified": true, "name": "Ana Ω",
            "preferred_username": "ana", "email": "ana@example.com",
        }),
        &[
            (json!({"typ": "ID"}), 401),
            (json!({"typ": "Refresh"}), 401),
            (json!({"realm_access": {"roles": ["offline_access"]}}), 403),
            (json!({ "realm_access": null }), 401),
            (json!({"scope": "email profile"}), 403),
            (json!({"aud": "account"}), 401),
        ],
    )
}

/// <https://docs.github.com/actions/reference/security/oidc>
fn github() -> Recipe {
    Recipe::jwt(
        "GitHub Actions",
        json!({"typ": "JWT", "x5t": "HyehlhdmXVaIKsBJ1aMEVw4uCt8"}),
        json!({
            "jti": "d1", "sub": "repo:acme/ops:environment:production", "environment": "production",
            "aud": "https://operations.example.com", "ref": "refs/heads/main", "sha": "abcdef",
            "repository": "acme/ops", "repository_owner": "acme", "actor_id": "12", "repository_visibility": "private",
            "repository_id": "74", "repository_owner_id": "65", "run_id": "1", "run_number": "10", "run_attempt": "2",
            "runner_environment": "github-hosted", "actor": "ana", "workflow": "cancel", "head_ref": "", "base_ref": "",
            "event_name": "workflow_dispatch", "ref_type": "branch", "ref_protected": "true",
            "job_workflow_ref": "acme/ops/.github/workflows/cancel.yml@refs/heads/main",
            "iss": "https://token.actions.githubusercontent.com", "nbf": now() - 60,
        }),
        &[
            (json!({"repository_owner_id": "66"}), 401),
            (json!({ "repository_owner_id": null }), 401),
            (json!({"repository": "acme/web"}), 403),
            (json!({"aud": "https://github.com/acme"}), 401),
        ],
    )
}

/// <https://docs.gitlab.com/ci/secrets/id_token_authentication/>
fn gitlab() -> Recipe {
    Recipe::jwt(
        "GitLab",
        json!({"typ": "JWT"}),
        json!({
            "namespace_id": "72", "namespace_path": "acme", "project_id": "20", "project_path": "acme/ops",
            "user_id": "1", "user_login": "ana", "user_email": "ana@example.com", "user_access_level": "developer",
            "pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch",
            "ref_path": "refs/heads/main", "ref_protected": "true", "runner_id": 1, "sha": "714a629c",
            "runner_environment": "gitlab-hosted", "project_visibility": "private", "jti": "235b3a54",
            "iss": "https://gitlab.com", "nbf": now() - 5, "sub": "project_path:acme/ops:ref_type:branch:ref:main",
            "aud": "https://operations.example.com",
        }),
        &[
            (json!({"namespace_id": "73"}), 401),
            (json!({"ref_protected": "false"}), 401),
            (json!({"project_path": "acme/web"}), 403),
            (json!({"aud": "https://gitlab.com"}), 401),
        ],
    )
}

/// <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>
fn kubernetes() -> Recipe {
    Recipe::jwt(
        "Kubernetes",
        json!({}),
        json!({
            "aud": ["operations"], "iss": "https://kubernetes.default.svc.cluster.local", "jti": "ea28ed49", "nbf": now(),
            "kubernetes.io": {
                "namespace": "ops", "node": {"name": "node-1", "uid": "646e7c5e"}, "pod": {"name": "canceller-0", "uid": "5e0bd49b"},
                "serviceaccount": {"name": "canceller", "uid": "14ee3fa4"}, "warnafter": now() + 3000,
            },
            "sub": "system:serviceaccount:ops:canceller",
        }),
        &[
            (json!({"sub": "system:serviceaccount:web:canceller"}), 403),
            (json!({"aud": ["https://kubernetes.default.svc.cluster.local"]}), 401),
            (json!({ "kubernetes.io": null }), 401),
        ],
    )
}

/// <https://spiffe.io/docs/latest/spiffe-specs/jwt-svid/>
fn spiffe() -> Recipe {
    Recipe::jwt(
        "SPIFFE",
        json!({"typ": "JOSE"}),
        json!({"aud": ["operations"], "sub": "spiffe://prod.example.com/ns/ops/sa/canceller"}),
        &[
            (json!({"sub": "spiffe://other.example.com/ns/ops/sa/canceller"}), 401),
            (json!({"sub": "spiffe://prod.example.com/ns/ops/sa/other"}), 403),
            (json!({ "sub": null }), 401),
            (json!({ "aud": null }), 401),
            (json!({ "exp": null }), 401),
        ],
    )
}

/// <https://dexidp.io/docs/connectors/google/>
fn dex() -> Recipe {
    Recipe::jwt(
        "Dex",
        json!({}),
        json!({
            "iss": "https://dex.example.com", "sub": "CgExEgZnb29nbGU", "aud": "operations", "at_hash": "aMwcpUIXm8eRHNWZUPpn4Q",
            "email": "bob@example.com", "email_verified": true, "groups": ["dev@example.com", "ops@example.com"],
            "name": "Bob",
        }),
        &[
            (json!({"groups": ["dev@example.com"]}), 403),
            (json!({"groups": ["ops@other.example"]}), 403),
            (json!({"aud": "other"}), 401),
            (json!({"email_verified": false}), 401),
            (json!({"email": "bob@other.example"}), 401),
        ],
    )
}

/// <https://www.ory.sh/docs/hydra/reference/api#tag/oAuth2/operation/introspectOAuth2Token>
fn hydra() -> Recipe {
    Recipe {
        heading: "Hydra",
        sent: Sent::Introspected,
        header: json!({}),
        prefix: "ory_at_",
        claims: json!({
            "active": true, "aud": [], "client_id": "operations-console", "exp": now() + 3600, "ext": {}, "iat": now(),
            "iss": "https://hydra.example.com/", "nbf": now(), "scope": "openid operations.cancel", "sub": "ana",
            "token_type": "Bearer", "token_use": "access_token",
        }),
        refused: vec![
            (json!({"active": false}), 401),
            (json!({"token_use": "refresh_token"}), 401),
            (json!({"client_id": "other"}), 401),
            (json!({"aud": ["https://other.example.com"]}), 401),
            (json!({"scope": "openid"}), 403),
            (json!({"sub": "bob"}), 403),
        ],
    }
}
