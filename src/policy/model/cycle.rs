//! Names that lead back to themselves: folders that lie in each other, groups that contain each other.

/// A loop of names as diagnostics write it, the first one again at the end.
pub(super) fn loop_text(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" → ")
}
