//! Policy files that are in memory already, as tests have them.

use std::path::Path;

use super::file_name::FileName;
use super::{Collected, PolicyFiles};

impl PolicyFiles {
    /// The files of a tree by name and text. `root` is where they seem to lie: `policies` for
    /// `policies/allow/projects/demo.yaml`. Of two with one name the last one counts.
    pub fn in_memory<N: AsRef<str>, T: AsRef<[u8]>>(
        root: impl AsRef<Path>,
        texts: impl IntoIterator<Item = (N, T)>,
    ) -> Self {
        let texts = texts.into_iter().map(|(name, text)| (FileName::new(name.as_ref()), text));
        let texts: std::collections::BTreeMap<FileName, T> = texts.collect();
        let mut collected = Collected::new(root.as_ref());
        for (name, text) in texts {
            collected.add(name, text.as_ref().to_vec());
        }
        collected.finish([])
    }
}
