//! The report in lines for people.

use std::fmt;

use super::chatter::ChatterReport;
use super::report::{Latecomers, Phases, Quantiles, Report, SlowLinks};

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, p99_9, max } = self;
        write!(f, "p50 {p50:.1}, p99 {p99:.1}, p99.9 {p99_9:.1}, max {max:.1}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { snapshots_per_bot_per_s: rate, down_bytes_per_bot_per_s: down, .. } = self;
        let (up, raw) = (self.up_bytes_per_bot_per_s, self.raw_bytes_per_bot_per_s);
        writeln!(
            f,
            "bots        {} connected ({} full, {} light), {} failed, {:.1} s of `{}` measured",
            self.connected, self.full, self.light, self.failed, self.seconds, self.load
        )?;
        writeln!(f, "connect     {} ms", self.connect_ms)?;
        writeln!(f, "join        {} ms", self.join_ms)?;
        writeln!(
            f,
            "snapshots   {:.2} to {:.2} a second and bot, p50 {:.2}; {} bots are off",
            rate.min, rate.max, rate.p50, self.bots_outside_rate
        )?;
        writeln!(f, "interval    {} ms", self.snapshot_interval_ms)?;
        writeln!(f, "age         {} ms", self.snapshot_age_ms)?;
        writeln!(
            f,
            "view        {} ms behind; its rate p0.1 {:.3}, p99.9 {:.3}",
            self.view_delay_ms, self.view_rate.low, self.view_rate.high
        )?;
        writeln!(f, "round trip  {} ms", self.rtt_ms)?;
        writeln!(
            f,
            "down        p50 {:.0} B/s, p99 {:.0} B/s a bot (the same rows raw: {:.0} B/s)",
            down.p50, down.p99, raw.p50
        )?;
        writeln!(f, "up          p50 {:.0} B/s, p99 {:.0} B/s a bot", up.p50, up.p99)?;
        self.write_instrument(f)?;
        self.write_state(f)?;
        self.write_apart(f)?;
        self.write_sessions(f)?;
        for (kind, count) in &self.errors {
            writeln!(f, "error       {count} x {kind}")?;
        }
        for finding in &self.findings {
            writeln!(f, "=> {finding}")?;
        }
        Ok(())
    }
}

impl Report {
    /// How good the load generator itself was.
    fn write_instrument(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames = self.input_frames_per_bot_per_s;
        writeln!(
            f,
            "inputs      {:.1} to {:.1} frames a second and bot; sent late by {} ms; {:.2} % of steps without one",
            frames.min,
            frames.max,
            self.send_late_ms,
            self.steps_without_input_ratio * 100.0
        )?;
        writeln!(
            f,
            "swarm's CPU {:.2} s, {:.2} cores; {:.0} us a light bot and second",
            self.cpu_s,
            self.cpu_s / self.seconds,
            self.light_cpu_us_per_bot_per_s
        )
    }

    /// What full bots say of the state.
    fn write_state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "digests     {} checked over {} rows, {} differ",
            self.digests_checked, self.digest_rows, self.digest_mismatches
        )?;
        writeln!(
            f,
            "prediction  {:.2} corrections a minute and bot that predicts, {} behind late inputs; in {:.1} % of frames",
            self.corrections_per_bot_per_min,
            self.corrections_substituted,
            self.predicted_ratio * 100.0
        )?;
        writeln!(
            f,
            "decoding    {} errors; starved {:.3} %; {} reconnects",
            self.decode_errors,
            self.starved_ratio * 100.0,
            self.reconnects
        )
    }

    /// What bots found of their sessions.
    fn write_sessions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(all) = &self.sessions else { return Ok(()) };
        writeln!(f, "sessions    {} cuts, {} resumed, in {} ms", all.cuts, all.resumed, all.resume_ms)?;
        let chatter = &all.chatter;
        if chatter.unreliable_heard_ratio.is_some() {
            write_chatter(chatter, f)?;
        }
        writeln!(
            f,
            "afterwards  {} ghosts, {} ids twice, {} stale states, {} wrong outcomes",
            all.ghost_entities, all.aliased_ids, all.stale_state_after_heal, all.wrong_outcome_told
        )
    }

    /// Whose figures stand apart.
    fn write_apart(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Phases { before, disturbed, interval_p99_ratio }) = &self.phases {
            writeln!(f, "before      interval {} ms", before.snapshot_interval_ms)?;
            writeln!(
                f,
                "disturbed   interval {} ms: p99 times {interval_p99_ratio:.2}",
                disturbed.snapshot_interval_ms
            )?;
        }
        if let Some(Latecomers { bots, joined, join_ms, closed }) = &self.latecomers {
            writeln!(
                f,
                "latecomers  {joined} of {bots} joined, {join_ms} ms; {closed} closed by the server"
            )?;
        }
        if let Some(slow) = &self.slow_links {
            let SlowLinks { bots, snapshots_per_bot_per_s: rate, snapshot_age_ms: age, .. } = slow;
            writeln!(
                f,
                "64 kbit/s   {bots} bots: {:.1} to {:.1} snapshots/s, age {age} ms",
                rate.min, rate.max
            )?;
        }
        Ok(())
    }
}

/// What bots have said to each other, and what became of it.
fn write_chatter(all: &ChatterReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "messages    {} said, {} heard; {} lost, {} doubled, {} out of order, {} garbled, {} refused",
        all.said,
        all.messages,
        all.messages_lost,
        all.messages_doubled,
        all.messages_reordered,
        all.messages_garbled,
        all.messages_refused
    )?;
    writeln!(f, "events      {} told; {} lost, {} too early", all.events, all.events_lost, all.events_early)?;
    writeln!(
        f,
        "requests    {} answered; {} lost, {} of them not answered in time",
        all.requests, all.requests_lost, all.requests_timed_out
    )?;
    writeln!(f, "bulk        {} received; {} lost", all.bulks, all.bulks_lost)?;
    writeln!(
        f,
        "tables      {} groups and {} rows are wrong; {} pauses",
        all.groups_wrong, all.tables_wrong, all.pauses
    )
}
