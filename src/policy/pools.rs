//! The identity pools that a gate's configuration knows, and what its issuers map of their principals. A member of any
//! other pool, or of a group or attribute that no issuer maps, is never a caller of this gate.

use std::collections::{BTreeMap, BTreeSet};

use super::federated::{Federated, MemberDoubt, PoolPart};
use crate::authn::MappedAttribute;
use crate::document::nearest;

/// The next step for a pool that is right though this gate does not know it.
const FOREIGN: &str =
    "A pool that other gates know belongs under `policy.foreign_pools` of the configuration";

/// The known pools. By default nothing is known of any, and none is doubted: a tree that is read without a
/// configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pools {
    /// `None` without a configuration.
    known: Option<BTreeMap<String, Mapped>>,
    /// The domains of groups that issuers assert in claims, as their `email_domains` has them. `None` without a
    /// configuration.
    group_domains: Option<BTreeSet<String>>,
}

/// What callers of a pool can be besides its subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mapped {
    /// Other gates know its callers: any member of it may exist.
    foreign: bool,
    groups: bool,
    attributes: BTreeSet<String>,
}

impl Pools {
    /// A configuration that knows no pool yet.
    pub fn configured() -> Self {
        Self { known: Some(BTreeMap::new()), group_domains: Some(BTreeSet::new()) }
    }

    /// What is known of the groups, and nothing of the pools: for a tree that is read far from the gate it is for.
    #[must_use]
    pub fn groups_alone(self) -> Self {
        Self { known: None, ..self }
    }

    /// Adds a pool whose callers are subjects. Several issuers may have one pool: a claim that one of them maps, some
    /// caller may have.
    pub fn add<'a>(&mut self, pool: &str, mapping: impl IntoIterator<Item = &'a MappedAttribute>) {
        let mapped = self.entry(pool);
        for attribute in mapping {
            match attribute {
                MappedAttribute::Subject => {}
                MappedAttribute::Groups => mapped.groups = true,
                MappedAttribute::Custom(name) => {
                    mapped.attributes.insert(name.clone());
                }
            }
        }
    }

    /// Adds a pool that policies may name though no caller of this gate is of it.
    pub fn add_foreign(&mut self, pool: &str) {
        self.entry(pool).foreign = true;
    }

    /// Adds domains of which some issuer asserts groups: `example.com`, `*.example.com`, `*`.
    pub fn add_group_domains<'a>(&mut self, domains: impl IntoIterator<Item = &'a String>) {
        let domains = domains.into_iter().map(|domain| domain.to_ascii_lowercase());
        self.group_domains.get_or_insert_default().extend(domains);
    }

    /// Whether tokens may say who is in a group (`group:EMAIL`), so that it needs no entry in groups.yaml. `None` where
    /// that is not known: there is no configuration.
    pub(super) fn asserts_group(&self, group: &str) -> Option<bool> {
        let domain = group.split_once('@').map_or("", |(_, domain)| domain);
        let is_of = |allowed: &String| match allowed.strip_prefix('*') {
            Some(parent) => domain.ends_with(parent) && domain.len() > parent.len(),
            None => allowed == domain,
        };
        Some(self.group_domains.as_ref()?.iter().any(is_of))
    }

    /// Adds all pools of another value. A pool that a running gate once knew does not count as misspelt: to remove an
    /// issuer must not keep policies from being loaded.
    pub fn remember(&mut self, other: &Self) {
        if let Some(domains) = &other.group_domains {
            self.group_domains.get_or_insert_default().extend(domains.iter().cloned());
        }
        for (pool, before) in other.known.iter().flatten() {
            let mapped = self.entry(pool);
            mapped.foreign |= before.foreign;
            mapped.groups |= before.groups;
            mapped.attributes.extend(before.attributes.iter().cloned());
        }
    }

    fn entry(&mut self, pool: &str) -> &mut Mapped {
        self.known.get_or_insert_with(BTreeMap::new).entry(pool.to_owned()).or_default()
    }

    /// Why no caller of this gate can be a member; nothing where the member is not a federated one.
    pub(super) fn doubt(&self, member: &str) -> Option<MemberDoubt> {
        let Federated { pool, part } = Federated::parse(member)?;
        if let Some(doubt) = self.doubt_of_pool(pool) {
            return Some(doubt);
        }
        let mapped = self.known.as_ref()?.get(pool)?;
        if mapped.foreign {
            return None;
        }
        match part {
            PoolPart::Group(_) if !mapped.groups => Some((
                "matches no caller: no issuer of the pool maps `google.groups`".to_owned(),
                "map it in the issuer's `attribute_mapping`, or name a subject".to_owned(),
            )),
            PoolPart::Attribute(name, _) if !mapped.attributes.contains(name) => {
                let near = nearest(name, mapped.attributes.iter().map(String::as_str));
                let help = match near {
                    Some(near) => format!("did you mean `attribute.{near}`?"),
                    None => format!("map `attribute.{name}` in the issuer's `attribute_mapping`"),
                };
                Some((format!("matches no caller: no issuer of the pool maps `attribute.{name}`"), help))
            }
            _ => None,
        }
    }

    /// Why no caller of this gate can be of a pool.
    pub(super) fn doubt_of_pool(&self, pool: &str) -> Option<MemberDoubt> {
        let known = self.known.as_ref()?;
        if known.contains_key(pool) {
            return None;
        }
        let message = format!("matches no caller: no issuer and no listener has the pool `{pool}`");
        if let Some(twin) = known.keys().find(|other| differ_in_project(pool, other)) {
            let help =
                format!("the pool is called `{twin}`: its project is written as the configuration has it");
            return Some((message, help));
        }
        let help = match nearest(pool, known.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`? {FOREIGN}"),
            None => FOREIGN.to_owned(),
        };
        Some((message, help))
    }
}

/// Whether two pools differ in nothing but a project, of which one is an id and the other a number.
fn differ_in_project(pool: &str, other: &str) -> bool {
    let parts = |pool: &str| {
        let (project, rest) = pool.strip_prefix("iam.googleapis.com/projects/")?.split_once('/')?;
        Some((project.bytes().all(|byte| byte.is_ascii_digit()), rest.to_owned()))
    };
    match (parts(pool), parts(other)) {
        (Some((is_number, rest)), Some((other, same))) => rest == same && is_number != other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAFF: &str = "iam.googleapis.com/locations/global/workforcePools/staff";
    const MESH: &str = "iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/mesh";

    fn pools() -> Pools {
        let mut pools = Pools::configured();
        let team = MappedAttribute::Custom("team".to_owned());
        pools.add(STAFF, [&MappedAttribute::Subject, &team]);
        pools.add(MESH, []);
        pools.add_foreign("iam.googleapis.com/locations/global/workforcePools/partners");
        pools
    }

    #[test]
    fn members_that_no_caller_of_the_configuration_can_be_are_reported() {
        let told: String = [
            "principal://iam.googleapis.com/locations/global/workforcePools/stuff/subject/ana",
            "principalSet://iam.googleapis.com/projects/demo/locations/global/workloadIdentityPools/mesh/*",
            "principalSet://iam.googleapis.com/projects/99/locations/global/workloadIdentityPools/other/group/x",
            &format!("principalSet://{STAFF}/group/oncall"),
            &format!("principalSet://{STAFF}/attribute.tem/x"),
            &format!("principalSet://{MESH}/attribute.region/x"),
        ]
        .iter()
        .map(|text| {
            let (message, help) = pools().doubt(text).unwrap();
            format!("{text}\n  {message}\n  help: {help}\n")
        })
        .collect();
        insta::assert_snapshot!(told);
    }

    #[test]
    fn members_that_some_caller_can_be_are_not_reported() {
        for text in [
            "user:ana@example.com",
            &format!("principal://{MESH}/subject/x"),
            &format!("principalSet://{STAFF}/*"),
            &format!("principalSet://{STAFF}/attribute.team/x"),
            "principalSet://iam.googleapis.com/locations/global/workforcePools/partners/group/x",
        ] {
            assert_eq!(pools().doubt(text), None, "{text}");
        }
        let bare = Pools::default();
        assert_eq!(bare.doubt("principalSet://iam.googleapis.com/x/y/group/z"), None);
    }
}
