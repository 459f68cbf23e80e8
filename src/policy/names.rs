//! Names as small numbers: the compiled policy compares and stores these.

use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;

use foldhash::HashMap;

/// The number of a name. `Of` keeps the numbers of resources, members, roles, conditions and files apart. Numbers begin
/// at one, so that `Option<Id>` takes no more space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NameId<Of>(NonZeroU32, PhantomData<Of>);

/// A set of names, numbered in the order in which they came.
#[derive(Debug)]
pub(super) struct NameTable<Of> {
    ids: HashMap<Arc<str>, NameId<Of>>,
    texts: Vec<Arc<str>>,
}

impl<Of> Default for NameTable<Of> {
    fn default() -> Self {
        Self { ids: HashMap::default(), texts: Vec::new() }
    }
}

impl<Of: Copy> NameTable<Of> {
    /// The number of a name, which is new or was seen before.
    pub(super) fn intern(&mut self, name: &str) -> NameId<Of> {
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = NameId::after(self.texts.len());
        let text: Arc<str> = name.into();
        self.texts.push(text.clone());
        self.ids.insert(text, id);
        id
    }

    /// The number of a name that was interned.
    pub(super) fn find(&self, name: &str) -> Option<NameId<Of>> {
        self.ids.get(name).copied()
    }

    /// The name.
    pub(super) fn text(&self, id: NameId<Of>) -> Option<&Arc<str>> {
        self.texts.get(id.index())
    }

    /// Every name with its number, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NameId<Of>, &Arc<str>)> {
        self.texts.iter().enumerate().map(|(at, text)| (NameId::after(at), text))
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Frees the spare capacity.
    pub(super) fn shrink(&mut self) {
        self.ids.shrink_to_fit();
        self.texts.shrink_to_fit();
    }
}

/// The number of a name, for what outlives an index. It means nothing without the index that it is of.
impl<Of> From<NameId<Of>> for NonZeroU32 {
    fn from(id: NameId<Of>) -> Self {
        id.0
    }
}

/// The name of a number that another name of the same index was turned into.
impl<Of> From<NonZeroU32> for NameId<Of> {
    fn from(number: NonZeroU32) -> Self {
        Self(number, PhantomData)
    }
}

impl<Of: Copy> NameId<Of> {
    /// The number that comes after `count` others.
    pub(super) fn after(count: usize) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "four billion names do not fit in memory; two names with one number would grant what no policy says"
        )]
        let number = u32::try_from(count + 1).ok().and_then(NonZeroU32::new).expect("fewer than 2^32 names");
        Self(number, PhantomData)
    }

    /// The number, counted from zero, as an index into a list of what is numbered.
    pub(super) fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}
