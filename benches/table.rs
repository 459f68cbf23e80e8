//! What is printed: one row per measurement, one line per row.

/// A measurement. What does not apply to it is not printed.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub name: String,
    /// How many grants the policy holds.
    pub size: usize,
    /// Nanoseconds of one call, or of loading one grant.
    pub nanoseconds: f64,
    /// How much of that was spent on a processor, where others may have kept it busy.
    pub on_cpu: Option<f64>,
    /// Against the smallest size.
    pub ratio: Option<f64>,
    /// Bytes for each grant, once loaded.
    pub bytes: Option<f64>,
    /// Bytes at the peak of loading, beside what was there before.
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
