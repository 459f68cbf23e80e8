//! The files of a policy tree that say who may do what: roles, allow and deny policies, boundaries, hierarchy, groups, tags.
//!
//! The shapes of Google's messages are those of their protos and of what `gcloud` prints, which sorts keys by name.

use super::shape::Shape::{Boolean, Either, List, Named, One, Set, Text, Whole, Words};
use super::shape::{Mapping, Shape, key, required, unread};

/// google/iam/admin/v1/iam.proto, `Role`.
pub(super) const ROLE: Mapping = Mapping::proto(
    "role",
    &[
        key("deleted", Boolean, "A deleted role grants nothing.").or("false"),
        key("description", Text, "What it is for."),
        key("etag", Text, "Accepted, and not read."),
        key("includedPermissions", Set(&Text), "The permissions, each in full: there are no wildcards."),
        required("name", Text, "`roles/ID`, `projects/PROJECT/roles/ID` or `organizations/NUMBER/roles/ID`."),
        key(
            "stage",
            Words(&["ALPHA", "BETA", "GA", "DEPRECATED", "DISABLED", "EAP"]),
            "The launch stage. A role that is `DISABLED` grants nothing.",
        )
        .or("ALPHA"),
        key("title", Text, "A name for people."),
    ],
);

/// google/type/expr.proto, `Expr`.
const CONDITION: Mapping = Mapping::proto(
    "condition",
    &[
        key("description", Text, "What it is for."),
        required("expression", Text, "CEL over `resource`, `request` and `origin`."),
        key("location", Text, "Accepted, and not read."),
        key("title", Text, "A name for people."),
    ],
);

/// An allow policy, bare or as Cloud Asset Inventory prints it.
pub(super) const ALLOW: Shape = Either(&[WRITTEN_POLICY, One(&WRITTEN_POLICY)]);

const WRITTEN_POLICY: Shape =
    Either(&[Shape::Mapping(&POLICY), Shape::Mapping(&ASSET), Shape::Mapping(&RESULT)]);

/// google/iam/v1/policy.proto, `Policy`.
const POLICY: Mapping = Mapping::proto(
    "allow_policy",
    &[
        key(
            "auditConfigs",
            List(&Shape::Mapping(&AUDIT_CONFIG)),
            "Which calls leave a line in the audit log.",
        ),
        key(
            "bindings",
            List(&Shape::Mapping(&BINDING)),
            "Who holds which role on the resource and below it.",
        ),
        unread("etag"),
        unread("iamOwned"),
        key("kind", Words(&["storage#policy"]), "What Cloud Storage prints."),
        key(
            "resourceId",
            Text,
            "The resource, as Cloud Storage prints it. It has to be that of the file's path.",
        ),
        key("version", Whole(0, 3), "1, or 3 where a binding has a condition."),
    ],
);

const BINDING: Mapping = Mapping::proto(
    "binding",
    &[
        unread("bindingId"),
        key("condition", Shape::Mapping(&CONDITION), "The role is held only where this is true."),
        required(
            "members",
            Set(&Text),
            "`user:`, `serviceAccount:`, `group:`, `domain:`, `principal://`, `principalSet://`, `allUsers` or `allAuthenticatedUsers`.",
        ),
        required("role", Text, "The name of a role."),
    ],
);

const AUDIT_CONFIG: Mapping = Mapping::proto(
    "audit_config",
    &[
        required("auditLogConfigs", List(&Shape::Mapping(&AUDIT_LOG_CONFIG)), "One for each kind of access."),
        key("exemptedMembers", Set(&Text), "Members whose calls of every kind leave no line."),
        required("service", Text, "A service, or `allServices`."),
    ],
);

const AUDIT_LOG_CONFIG: Mapping = Mapping::proto(
    "audit_log_config",
    &[
        key("exemptedMembers", Set(&Text), "Members whose calls leave no line."),
        key("ignoreChildExemptions", Boolean, "Whether exemptions below do not count.").or("false"),
        required("logType", Words(&["ADMIN_READ", "DATA_READ", "DATA_WRITE"]), "The kind of access."),
    ],
);

/// google/cloud/asset/v1/assets.proto, `Asset`.
const ASSET: Mapping = Mapping::proto(
    "asset",
    &[
        required("iam_policy", Shape::Mapping(&POLICY), "The allow policy."),
        key("name", Text, "The full name of its resource."),
    ],
)
.open();

/// google/cloud/asset/v1/assets.proto, `IamPolicySearchResult`.
const RESULT: Mapping = Mapping::proto(
    "iam_policy_search_result",
    &[
        required("policy", Shape::Mapping(&POLICY), "The allow policy."),
        key("resource", Text, "The full name of its resource."),
    ],
)
.open();

/// google/iam/v2/policy.proto, `Policy`.
pub(super) const DENY: Mapping = Mapping::proto(
    "deny_policy",
    &[
        unread("annotations"),
        unread("createTime"),
        unread("deleteTime"),
        unread("displayName"),
        unread("etag"),
        key("kind", Words(&["DenyPolicy"]), "The kind of the policy."),
        unread("managingAuthority"),
        key(
            "name",
            Text,
            "The attachment point and the id. The attachment point has to be the resource of the file's path.",
        ),
        required("rules", List(&Shape::Mapping(&RULE)), "What is denied."),
        unread("uid"),
        unread("updateTime"),
    ],
);

const RULE: Mapping = Mapping::proto(
    "deny_policy_rule",
    &[
        required("denyRule", Shape::Mapping(&DENY_RULE), "The rule."),
        key("description", Text, "What it is for."),
    ],
);

/// google/iam/v2/deny.proto, `DenyRule`.
const DENY_RULE: Mapping = Mapping::proto(
    "deny_rule",
    &[
        key(
            "denialCondition",
            Shape::Mapping(&CONDITION),
            "The rule denies where this is true, and where it has no value.",
        ),
        required("deniedPermissions", Set(&Text), "`SERVICE/RESOURCE.VERB`; `*` for the verb or for both."),
        required(
            "deniedPrincipals",
            Set(&Text),
            "Principals, in the form of IAM v2: `principal://goog/subject/EMAIL`, `principalSet://goog/public:all`.",
        ),
        key("exceptionPermissions", Set(&Text), "Permissions that stay allowed."),
        key("exceptionPrincipals", Set(&Text), "Principals that the rule does not deny."),
    ],
);

/// A file below `boundaries/`: a policy, or a binding of one.
pub(super) const BOUNDARY: Shape =
    Either(&[Shape::Mapping(&BOUNDARY_POLICY), Shape::Mapping(&BOUNDARY_BINDING)]);

/// google/iam/v3/principal_access_boundary_policy_resources.proto, `PrincipalAccessBoundaryPolicy`.
const BOUNDARY_POLICY: Mapping = Mapping::proto(
    "boundary_policy",
    &[
        unread("annotations"),
        unread("createTime"),
        required("details", Shape::Mapping(&BOUNDARY_DETAILS), "What can be reached."),
        unread("displayName"),
        unread("etag"),
        required("name", Text, "`organizations/NUMBER/locations/global/principalAccessBoundaryPolicies/ID`."),
        unread("uid"),
        unread("updateTime"),
    ],
);

const BOUNDARY_DETAILS: Mapping = Mapping::proto(
    "boundary_details",
    &[
        unread("enforcementVersion"),
        required("rules", List(&Shape::Mapping(&BOUNDARY_RULE)), "What its principals can reach."),
    ],
);

const BOUNDARY_RULE: Mapping = Mapping::proto(
    "boundary_rule",
    &[
        key("description", Text, "What it is for."),
        required("effect", Words(&["ALLOW"]), "A boundary lists what can be reached."),
        required(
            "resources",
            List(&Text),
            "`//cloudresourcemanager.googleapis.com/projects/ID`, or a folder or an organization.",
        ),
    ],
);

/// google/iam/v3/policy_binding_resources.proto, `PolicyBinding`.
const BOUNDARY_BINDING: Mapping = Mapping::proto(
    "policy_binding",
    &[
        unread("annotations"),
        key("condition", Shape::Mapping(&CONDITION), "CEL over `principal.type` and `principal.subject`."),
        unread("createTime"),
        unread("displayName"),
        unread("etag"),
        required("name", Text, "`PARENT/locations/global/policyBindings/ID`."),
        required("policy", Text, "The name of the boundary policy."),
        key("policyKind", Words(&["PRINCIPAL_ACCESS_BOUNDARY"]), "The kind of the policy."),
        unread("policyUid"),
        required("target", Shape::Mapping(&TARGET), "The principals that it bounds."),
        unread("uid"),
        unread("updateTime"),
    ],
);

const TARGET: Mapping = Mapping::proto(
    "target",
    &[required("principalSet", Text, "A project, folder, organization, identity pool or Workspace.")],
);

/// `hierarchy.yaml`.
pub(super) const HIERARCHY: Shape =
    Named("a project or a folder, like `projects/demo`", &Either(&[Text, Shape::Mapping(&PLACE)]));

const PLACE: Mapping = Mapping::proto(
    "place",
    &[
        key("parent", Text, "The folder or organization that it lies in."),
        key("projectNumber", Either(&[Whole(1, i64::MAX), Text]), "The number of the project."),
    ],
);

/// `groups.yaml`.
pub(super) const GROUPS: Shape = Named("the email of a group", &Set(&Text));

/// `tags.yaml`.
pub(super) const TAGS: Shape =
    Named("a resource, like `projects/demo`", &Named("a tag key: `OWNER/NAME` or `tagKeys/ID`", &Text));
