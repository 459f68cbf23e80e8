//! The principal sets that a boundary can be bound to
//! (<https://cloud.google.com/iam/docs/principal-access-boundary-policies#principal-sets>), and who is in them.

use std::borrow::Cow;

use crate::policy::model::hierarchy::Hierarchy;
use crate::policy::pools::Pools;
use crate::policy::spelling;
use crate::principal::Principal;

/// Whether a binding is for a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applies {
    /// They are in its set, and its condition holds.
    Yes,
    /// They are not.
    No,
    /// It is not known, for this reason.
    Unknown(String),
}

/// A principal set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct PrincipalSet {
    text: String,
    kind: SetKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SetKind {
    /// Everybody of a workforce or workload identity pool.
    Pool(String),
    /// The users of a Workspace domain, by a number that says nothing of the domain.
    Workspace,
    /// Service accounts and workload identity pools of a project, of a folder's projects, or of an organization's,
    /// and there its users and workforce pools.
    Container(String),
}

impl PrincipalSet {
    /// Reads a principal set; `None` where IAM v3 has no such set.
    pub(in crate::policy) fn parse(text: &str) -> Option<Self> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        };
        let kind = if let Some(name) = text.strip_prefix("//cloudresourcemanager.googleapis.com/") {
            let (collection, id) = name.split_once('/')?;
            let known = matches!(collection, "projects" | "folders" | "organizations");
            (known && is_word(id)).then(|| SetKind::Container(name.to_owned()))?
        } else {
            let name = text.strip_prefix("//iam.googleapis.com/")?;
            let segments: Vec<&str> = name.split('/').collect();
            match segments.as_slice() {
                ["locations", "global", "workspace", id] if is_word(id) => SetKind::Workspace,
                ["locations", "global", "workforcePools", pool] if is_word(pool) => pool_of(name),
                ["projects", project, "locations", "global", "workloadIdentityPools", pool]
                    if is_word(project) && is_word(pool) =>
                {
                    pool_of(name)
                }
                _ => return None,
            }
        };
        Some(Self { text: text.to_owned(), kind })
    }

    pub(in crate::policy) fn text(&self) -> &str {
        &self.text
    }

    /// Why no caller can be in the set, and what to write.
    pub(in crate::policy) fn doubt(&self, pools: &Pools) -> Option<(String, String)> {
        match &self.kind {
            SetKind::Pool(name) => pools.doubt_of_pool(&format!("iam.googleapis.com/{name}")),
            SetKind::Container(name) => spelling::unnameable(name).map(|reason| {
                let help = "write the id of the project as `gcloud projects list` prints it".to_owned();
                (format!("matches no caller: {reason}"), help)
            }),
            SetKind::Workspace => None,
        }
    }

    /// Whether a principal is in the set, as far as the files tell.
    pub(in crate::policy) fn contains(&self, principal: &Principal, hierarchy: &Hierarchy) -> Applies {
        let text = principal.as_str();
        match &self.kind {
            SetKind::Pool(pool) => is_pool(pool, principal, hierarchy),
            SetKind::Workspace if text.starts_with("user:") => {
                Applies::Unknown("the Workspace domain of a user is not known here".to_owned())
            }
            SetKind::Workspace => Applies::No,
            SetKind::Container(container) => match home(principal) {
                Home::Project(project) => lies_in(&project, container, hierarchy),
                // Users and workforce pools belong to an organization, never to a project or folder.
                Home::SomeOrganization if container.starts_with("organizations/") => {
                    Applies::Unknown(format!("the organization of {text} is not known here"))
                }
                Home::SomeOrganization => Applies::No,
                Home::Unknown => Applies::Unknown(format!("the project of {text} is not known here")),
            },
        }
    }
}

fn pool_of(name: &str) -> SetKind {
    SetKind::Pool(name.to_owned())
}

fn is_pool(pool: &str, principal: &Principal, hierarchy: &Hierarchy) -> Applies {
    let Some(own) = principal.pool().and_then(|pool| pool.strip_prefix("iam.googleapis.com/")) else {
        return Applies::No;
    };
    if own == pool {
        return Applies::Yes;
    }
    let parts = |name: &str| {
        let (project, rest) = name.strip_prefix("projects/")?.split_once('/')?;
        Some((format!("projects/{project}"), rest.to_owned()))
    };
    match (parts(own), parts(pool)) {
        (Some((project, own)), Some((other, rest))) if own == rest => is_project(&project, &other, hierarchy),
        _ => Applies::No,
    }
}

/// Where a principal belongs.
enum Home {
    /// `projects/ID` or `projects/NUMBER`.
    Project(String),
    SomeOrganization,
    Unknown,
}

fn home(principal: &Principal) -> Home {
    let text = principal.as_str();
    // Of a federated identity only the pool counts: the bearer may have chosen what follows it.
    if let Some(pool) = principal.pool() {
        return match pool.split('/').collect::<Vec<_>>().as_slice() {
            [_, "projects", project, ..] => Home::Project(format!("projects/{project}")),
            [_, "locations", "global", "workforcePools", _] => Home::SomeOrganization,
            _ => Home::Unknown,
        };
    }
    if text.starts_with("user:") {
        return Home::SomeOrganization;
    }
    let Some((local, domain)) = principal.email().and_then(|email| email.split_once('@')) else {
        return Home::Unknown;
    };
    // <https://cloud.google.com/iam/docs/service-account-types>. Service agents carry the number of one of Google's own
    // projects as well: only these three say to which project an account belongs.
    let project = match domain {
        "appspot.gserviceaccount.com" => Some(local),
        "developer.gserviceaccount.com" => local.strip_suffix("-compute"),
        _ => {
            domain.strip_suffix(".iam.gserviceaccount.com").filter(|project| !project.starts_with("gcp-sa-"))
        }
    };
    project.map_or(Home::Unknown, |project| Home::Project(format!("projects/{}", project_id(project))))
}

/// The id of a project that an account's email names: `lab.example.com` is `example.com:lab`. Old ids belong to a
/// domain.
fn project_id(name: &str) -> Cow<'_, str> {
    match name.split_once('.') {
        Some((id, domain)) => Cow::Owned(format!("{domain}:{id}")),
        None => Cow::Borrowed(name),
    }
}

fn lies_in(project: &str, container: &str, hierarchy: &Hierarchy) -> Applies {
    if project == container || hierarchy.ancestors(project).any(|ancestor| ancestor == container) {
        return Applies::Yes;
    }
    if container.starts_with("projects/") {
        return is_project(project, container, hierarchy);
    }
    match hierarchy.ancestors(project).last() {
        Some(top) if top.starts_with("organizations/") => Applies::No,
        _ => Applies::Unknown(format!("hierarchy.yaml does not say in which organization `{project}` lies")),
    }
}

/// Whether two names are of one project: it has an id and a number, and hierarchy.yaml may say which belong together.
fn is_project(project: &str, other: &str, hierarchy: &Hierarchy) -> Applies {
    if hierarchy.is_same(project, other) {
        Applies::Yes
    } else if is_number(project) == is_number(other)
        || hierarchy.alias(project).is_some()
        || hierarchy.alias(other).is_some()
    {
        Applies::No
    } else {
        Applies::Unknown(format!("whether `{project}` is `{other}` is not known here"))
    }
}

fn is_number(project: &str) -> bool {
    project.strip_prefix("projects/").is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
}
