//! The output: one line per measurement.

/// A measurement. Figures that do not apply are not printed.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub name: String,
    /// The number of grants in the policy.
    pub size: usize,
    /// Nanoseconds of one call, or of loading one grant.
    pub nanoseconds: f64,
    /// The nanoseconds of that which were spent on a processor; the rest was waiting for a busy one.
    pub on_cpu: Option<f64>,
    /// The time relative to the smallest size.
    pub ratio: Option<f64>,
    /// Bytes for each grant, once loaded.
    pub bytes: Option<f64>,
    /// Bytes at the peak of loading, beyond those before it.
    pub peak: Option<usize>,
    /// Allocations of one call.
    pub allocations: Option<usize>,
}

pub fn head() {
    println!(
        "{:<44} {:>9} {:>8} {:>8} {:>6} {:>6} {:>9} {:>7}",
        "", "N", "ns", "cpu ns", "ratio", "bytes", "peak MiB", "allocs"
    );
}

impl Row {
    pub fn print(&self) {
        let or_blank = |text: Option<String>| text.unwrap_or_default();
        println!(
            "{:<44} {:>9} {:>8.0} {:>8} {:>6} {:>6} {:>9} {:>7}",
            self.name,
            self.size,
            self.nanoseconds,
            or_blank(self.on_cpu.map(|nanoseconds| format!("{nanoseconds:.0}"))),
            or_blank(self.ratio.map(|ratio| format!("{ratio:.2}"))),
            or_blank(self.bytes.map(|bytes| format!("{bytes:.0}"))),
            or_blank(self.peak.map(|bytes| format!("{}", bytes >> 20))),
            or_blank(self.allocations.map(|count| count.to_string())),
        );
    }
}
