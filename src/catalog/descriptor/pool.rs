//! The messages and RPCs of a service, by their descriptors: those of its descriptor set, and those that are built in.
//!
//! What a set imports and does not hold is built in, if it is one of the files that every service may use. Any other file
//! that is missing counts as empty: most often it has annotations alone. If a type is missing then, the set describes no
//! RPC, and the service is served over HTTP alone.

use std::collections::HashSet;
use std::sync::LazyLock;

use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::FileDescriptorProto;

use super::built_in;
use super::message::FileDescriptorSet;
use crate::catalog::rpc::RpcDescriptor;

/// What is known of the messages of a service.
#[derive(Debug, Default)]
pub(in crate::catalog) struct RpcDescriptors {
    /// Of its descriptor set.
    own: Option<DescriptorPool>,
    /// Why its set describes no messages.
    incomplete: Option<String>,
}

impl RpcDescriptors {
    /// Reads the types of a set. `bytes` are those that `set` was read from.
    pub(in crate::catalog) fn read(set: &FileDescriptorSet, bytes: &[u8]) -> Self {
        match resolved(set, bytes) {
            Ok(own) => Self { own: Some(own), incomplete: None },
            Err(why) => Self { own: None, incomplete: Some(why) },
        }
    }

    /// Why the descriptor set describes no messages, if it does not.
    pub(in crate::catalog) fn incomplete(&self) -> Option<&str> {
        self.incomplete.as_deref()
    }

    /// The full names of the RPCs of the set.
    pub(in crate::catalog) fn own(&self) -> impl Iterator<Item = String> {
        let services = self.own.iter().flat_map(DescriptorPool::services);
        services.flat_map(|service| {
            let names: Vec<String> = service.methods().map(|method| method.full_name().to_owned()).collect();
            names
        })
    }

    /// The RPC of this full name: of the set or, where that has no such interface, one that is built in.
    pub(in crate::catalog) fn find(&self, rpc: &str) -> Option<RpcDescriptor> {
        let (interface, name) = rpc.rsplit_once('.')?;
        let of = |pool: &DescriptorPool| {
            let service = pool.get_service_by_name(interface)?;
            let found = service.methods().find(|method| method.name() == name);
            Some(found.as_ref().map(RpcDescriptor::of))
        };
        if let Some(own) = self.own.as_ref().and_then(of) {
            return own;
        }
        let found = of(BUILT_IN.as_ref()?)??;
        Some(found.built_in())
    }
}

/// The interfaces that a service has without a descriptor set. `None` is a mistake in `built_in`, which a test finds.
static BUILT_IN: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| {
    let mut pool = DescriptorPool::global();
    pool.add_file_descriptor_protos(built_in::files()).ok()?;
    Some(pool)
});

fn resolved(set: &FileDescriptorSet, bytes: &[u8]) -> Result<DescriptorPool, String> {
    let held: HashSet<&str> = set.file.iter().map(|file| file.name.as_str()).collect();
    let mut missing: Vec<String> = set.file.iter().flat_map(|file| file.dependency.clone()).collect();
    let mut added: Vec<FileDescriptorProto> = Vec::new();
    while let Some(name) = missing.pop() {
        if held.contains(name.as_str()) || added.iter().any(|file| file.name() == name) {
            continue;
        }
        let known = BUILT_IN.as_ref().and_then(|pool| pool.get_file_by_name(&name));
        let file = match known {
            Some(file) => file.file_descriptor_proto().clone(),
            None => FileDescriptorProto { name: Some(name), ..FileDescriptorProto::default() },
        };
        missing.extend(file.dependency.iter().cloned());
        added.push(file);
    }
    let mut pool = DescriptorPool::new();
    // A set holds each file behind those that it imports, and so may these import one of the set's.
    if added.iter().flat_map(|file| &file.dependency).any(|name| held.contains(name.as_str())) {
        return Err("the set holds some files of google.protobuf and lacks others".to_owned());
    }
    pool.add_file_descriptor_protos(added).map_err(|error| error.to_string())?;
    pool.decode_file_descriptor_set(bytes).map_err(|error| error.to_string())?;
    Ok(pool)
}

#[cfg(test)]
mod tests;
