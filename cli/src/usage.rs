//! What this process has used of the machine, as far as the system tells.

use serde::Serialize;

/// CPU time since the start, and memory now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Usage {
    /// CPU time in our own code, seconds.
    pub(crate) cpu_user_s: f64,
    /// CPU time in the kernel for us, seconds.
    pub(crate) cpu_system_s: f64,
    /// Resident memory, bytes.
    pub(crate) rss_bytes: u64,
}

impl Usage {
    /// Of this process. Only Linux tells it in files.
    #[cfg(target_os = "linux")]
    pub(crate) fn now() -> Option<Self> {
        let read = |file| std::fs::read_to_string(file).ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as u64;
        parse(&read("/proc/self/stat")?, &read("/proc/self/statm")?, ticks, page)
    }

    /// Of this process: unknown.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn now() -> Option<Self> {
        None
    }
}

/// From the two files of proc(5).
#[cfg(target_os = "linux")]
fn parse(stat: &str, statm: &str, ticks_per_s: f64, page_bytes: u64) -> Option<Usage> {
    // The name stands in parentheses and may hold anything. Behind it come the fields from the third on.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<f64>);
    Some(Usage {
        cpu_user_s: times.next()?.ok()? / ticks_per_s,
        cpu_system_s: times.next()?.ok()? / ticks_per_s,
        rss_bytes: statm.split_whitespace().nth(1)?.parse::<u64>().ok()? * page_bytes,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_manual_whatever_the_name_is() {
        let stat = "7 (a ) b (c) S 1 7 7 0 -1 4194304 1088 0 12 0 250 75 3 4 20 0 4 0 8870 1118081024 1400";
        let usage = parse(stat, "272968 1400 1020 6 0 9000 0", 100.0, 4096);
        assert_eq!(usage, Some(Usage { cpu_user_s: 2.5, cpu_system_s: 0.75, rss_bytes: 1400 * 4096 }));
        assert_eq!(parse("7 (a) S 1 7", "1 2", 100.0, 4096), None);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(Usage::now().unwrap().rss_bytes > 100_000);
    }
}
