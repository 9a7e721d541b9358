//! Status on stderr: in place in a terminal, otherwise a line a second.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

/// Draws lines of status.
pub(crate) struct Status {
    is_terminal: bool,
    lines_drawn: usize,
}

impl Status {
    pub(crate) fn new() -> Self {
        Self { is_terminal: stderr().is_terminal(), lines_drawn: 0 }
    }

    /// How often there should be a new one.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis(if self.is_terminal { 250 } else { 1000 })
    }

    /// Shows these lines instead of the last ones; where that cannot be done, as one further line.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        let mut out = stderr().lock();
        // A status that cannot be written is no reason to stop.
        let _ = if self.is_terminal {
            // Up to where the last ones began; then each line is wiped before it is written.
            let up = if self.lines_drawn > 0 { format!("\x1b[{}A", self.lines_drawn) } else { String::new() };
            self.lines_drawn = lines.len();
            writeln!(out, "{up}\x1b[2K{}", lines.join("\n\x1b[2K"))
        } else {
            writeln!(out, "{}", lines.join(" | "))
        };
    }
}
