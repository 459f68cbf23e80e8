//! Which requests leave a line.

use super::settings::Selection;

/// What a request is to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'e> {
    /// It was refused.
    Refused,
    /// It was allowed and is to be written in any case: a write, or one that failed.
    Written,
    /// It was allowed, went well and changes nothing.
    AllowedRead {
        /// The full name of the method.
        method: &'e str,
        /// The id of the request.
        request_id: &'e str,
    },
    /// It was allowed and went well, and `auditConfigs` of the policy tree do not ask for its line.
    Unlogged,
}

/// Whether a line is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It is not.
    Not,
    /// For observers alone.
    Seen,
    /// It is, and written.
    Written,
}

impl Selection {
    pub(super) fn takes(&self, kind: Kind<'_>) -> bool {
        match kind {
            Kind::Refused | Kind::Written => true,
            Kind::Unlogged => false,
            Kind::AllowedRead { method, request_id } => {
                !self.skipped_reads.iter().any(|pattern| names(pattern, method)) && self.samples(request_id)
            }
        }
    }

    /// The ids are random, and made by the gate: no client chooses whether its request is written.
    fn samples(&self, request_id: &str) -> bool {
        if self.reads_per_million >= 1_000_000 {
            return true;
        }
        let number = request_id.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        number.is_none_or(|number| {
            u64::from(number) * 1_000_000 / (1 << 32) < u64::from(self.reads_per_million)
        })
    }
}

fn names(pattern: &str, method: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => method.starts_with(beginning),
        None => method == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'e>(method: &'e str, request_id: &'e str) -> Kind<'e> {
        Kind::AllowedRead { method, request_id }
    }

    #[test]
    fn reads_are_sampled_and_nothing_else_is() {
        let selection = Selection { reads_per_million: 100_000, ..Selection::default() };
        let taken = (0..10_000_u32).filter(|number| {
            // As many ids as spread over all of them.
            let id = format!("{:08x}{:024x}", number.wrapping_mul(429_497), 0);
            selection.takes(read("a.B.Get", &id))
        });
        assert_eq!(taken.count(), 1000);
        let none = Selection { reads_per_million: 0, ..Selection::default() };
        assert!(!none.takes(read("a.B.Get", "00000000")));
        assert!(none.takes(Kind::Refused) && none.takes(Kind::Written) && !none.takes(Kind::Unlogged));
        assert!(Selection::default().takes(read("a.B.Get", "ffffffff")));
    }

    #[test]
    fn reads_of_named_methods_are_not_written() {
        let skipped_reads = vec!["a.B.Get".to_owned(), "c.*".to_owned()];
        let selection = Selection { skipped_reads, ..Selection::default() };
        let taken = |method: &str| selection.takes(read(method, "00000000"));
        assert!(!taken("a.B.Get") && !taken("c.D.List") && taken("a.B.GetAll") && taken("b.c.D"));
    }
}
