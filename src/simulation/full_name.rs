//! Names of resources as people have them at hand: relative, `projects/demo/…`, or in full, as denials print them,
//! `//SERVICE/projects/…` (AIP-122).

/// The service, where it is named, and the relative name.
pub fn split(text: &str) -> (Option<&str>, &str) {
    match text.strip_prefix("//").and_then(|full| full.split_once('/')) {
        Some((service, name)) if !service.is_empty() => (Some(service), name),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_named_in_full_or_relative_to_its_service() {
        let full = "//dataproc.googleapis.com/projects/demo/regions/r";
        assert_eq!(split(full), (Some("dataproc.googleapis.com"), "projects/demo/regions/r"));
        for relative in ["projects/demo", "/projects/demo", "//projects", "///projects/demo"] {
            assert_eq!(split(relative), (None, relative));
        }
    }
}
