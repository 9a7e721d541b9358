//! What is wrong with a run, in words: the exit status hangs on it.

use super::chatter::ChatterReport;
use super::report::Report;
use super::sessions::SessionReport;

/// Digests that full bots must have checked, as a share of those due.
const DIGESTS_SHARE_MIN: f64 = 0.9;

/// Steps without an input above which light bots are no honest load.
const MISSING_INPUTS_MAX: f64 = 0.05;

/// How late light bots may send at the 99th percentile, milliseconds: beyond it the swarm itself is the limit.
const LATE_MS_MAX: f64 = 25.0;

/// How long a session may take to go on at the 99th percentile, milliseconds: a wait of at most 50, and what connecting takes.
const RESUME_MS_MAX: f64 = 150.0;

/// Cuts below which a run has not tried what it says, as a share of those that chance makes on average.
const CUTS_SHARE_MIN: f64 = 0.5;

/// Unreliable messages that must be heard, as a share. Streams lose none but with a connection, and a full one drops some.
const UNRELIABLE_HEARD_MIN: f64 = 0.2;

/// Share of frames without a newer state to show that is worth a word.
const STARVED_MAX: f64 = 0.01;

/// The findings, and whether none of them is a fault.
pub(super) fn find(report: &Report) -> (Vec<String>, bool) {
    let mut findings = faults(report);
    let is_clean = findings.is_empty();
    if is_clean {
        findings.push(format!(
            "all {} bots were served as they should: {} digests over {} rows agree",
            report.bots, report.digests_checked, report.digest_rows
        ));
    }
    findings.extend(remarks(report));
    (findings, is_clean)
}

/// What makes a run fail.
fn faults(report: &Report) -> Vec<String> {
    let mut faults = Vec::new();
    if report.failed > 0 {
        faults.push(format!("{} of {} bots never got a snapshot: see `errors`", report.failed, report.bots));
    }
    if let Some(late) = report.latecomers.filter(|late| late.joined < late.bots) {
        faults.push(format!("{} of {} latecomers were not let in", late.bots - late.joined, late.bots));
    }
    if report.decode_errors > 0 {
        faults.push(format!(
            "{} messages could not be decoded: server and swarm disagree",
            report.decode_errors
        ));
    }
    if report.digest_mismatches > 0 {
        faults.push(format!(
            "{} of {} digests differ: replicas went wrong",
            report.digest_mismatches, report.digests_checked
        ));
    }
    if let Some(sessions) = &report.sessions {
        faults.extend(session_faults(sessions));
    }
    if report.sessions.is_some() && report.reconnects > 0 {
        faults.push(format!("{} connections were lost that nobody has cut", report.reconnects));
    }
    let digests_due = DIGESTS_SHARE_MIN * report.digests_due;
    if (report.digests_checked as f64) < digests_due {
        faults
            .push(format!("only {} digests were checked, {digests_due:.0} are due", report.digests_checked));
    }
    if report.unchecked_bots > 0 {
        let bots = report.unchecked_bots;
        faults.push(format!("{bots} bots checked less than half of the digests that are due to each"));
    }
    if let (1.., Some((low, high))) = (report.bots_outside_rate, report.rate_bounds) {
        let bots = report.bots_outside_rate;
        faults.push(format!("{bots} bots did not get {low:.2} to {high:.2} snapshots a second"));
    }
    faults
}

/// What sessions did not keep, and what was not even tried of them.
fn session_faults(sessions: &SessionReport) -> Vec<String> {
    let mut faults = Vec::new();
    if !sessions.is_sound() {
        faults.push(format!("sessions did not keep what is promised of them: {sessions:?}"));
    }
    let SessionReport { cuts, cuts_due, resumed, chatter, .. } = *sessions;
    if cuts_due > 0.0 && (cuts == 0 || (cuts as f64) < CUTS_SHARE_MIN * cuts_due) {
        faults.push(format!(
            "only {cuts} connections were cut, {cuts_due:.1} are due: run for longer, or cut more often"
        ));
    }
    if cuts > 0 && resumed == 0 {
        faults.push("no session went on".to_owned());
    }
    if let Some(heard) = chatter.unreliable_heard_ratio {
        let ChatterReport { said, messages, events, requests, bulks, pauses, .. } = chatter;
        let tried = [
            ("said", said),
            ("messages", messages),
            ("events", events),
            ("requests", requests),
            ("bulks", bulks),
            ("pauses", pauses),
        ];
        let untried: Vec<_> = tried.iter().filter(|(_, count)| *count == 0).map(|(name, _)| *name).collect();
        if !untried.is_empty() {
            faults.push(format!("nothing is known of {}: run for longer", untried.join(", ")));
        }
        if heard < UNRELIABLE_HEARD_MIN {
            faults.push(format!("only {:.1} % of the unreliable messages were heard", heard * 100.0));
        }
    }
    faults
}

/// What else should be known.
fn remarks(report: &Report) -> Vec<String> {
    let mut remarks = Vec::new();
    if report.starved_ratio > STARVED_MAX {
        let percent = report.starved_ratio * 100.0;
        remarks.push(format!("{percent:.1} % of frames had no newer state to show: snapshots came late"));
    }
    if let Some(sessions) = report.sessions.filter(|sessions| sessions.resume_ms.p99 > RESUME_MS_MAX) {
        let p99 = sessions.resume_ms.p99;
        remarks.push(format!("sessions took up to {p99:.0} ms (p99) to go on"));
    }
    if report.sessions.is_none() && report.reconnects > 0 {
        remarks.push(format!("{} connections were lost and made anew", report.reconnects));
    }
    if report.steps_without_input_ratio > MISSING_INPUTS_MAX {
        let percent = report.steps_without_input_ratio * 100.0;
        remarks.push(format!("{percent:.1} % of the light bots' steps were made without their input"));
    }
    if report.send_late_ms.p99 > LATE_MS_MAX {
        let late = report.send_late_ms.p99;
        remarks
            .push(format!("the swarm itself was late by {late:.0} ms (p99): it needs more CPU than it got"));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::{find, session_faults};
    use crate::swarm::chatter::ChatterReport;
    use crate::swarm::load::Part;
    use crate::swarm::outcome::BotOutcome;
    use crate::swarm::report::tests::{outcome, report};
    use crate::swarm::sessions::SessionReport;

    #[test]
    fn a_clean_run_is_clean() {
        let report = report(vec![outcome(true, 200, 10), outcome(true, 202, 9), outcome(false, 195, 0)]);
        assert!(report.is_clean, "{report}");
    }

    #[test]
    fn whatever_is_wrong_is_found() {
        let mut failed = outcome(true, 200, 10);
        failed.join_micros = None;
        let mut wrong = outcome(true, 200, 10);
        wrong.digests.mismatches = 1;
        let mut torn = outcome(false, 200, 0);
        torn.decode_errors = 1;
        for (bad, word) in [
            (failed, "never got"),
            (wrong, "differ"),
            (torn, "decoded"),
            (outcome(true, 200, 7), "due"),
            (outcome(true, 188, 10), "18.90 to 21.10"),
            (outcome(false, 212, 0), "18.90 to 21.10"),
        ] {
            let report = report(vec![bad]);
            assert!(!report.is_clean, "{word}");
            assert!(report.findings.iter().any(|finding| finding.contains(word)), "{:?}", report.findings);
        }
    }

    #[test]
    fn sessions_that_were_not_tried_are_no_clean_run() {
        let talk = ChatterReport {
            said: 500,
            messages: 4000,
            unreliable_heard_ratio: Some(0.98),
            events: 300,
            requests: 200,
            bulks: 20,
            pauses: 10,
            ..ChatterReport::default()
        };
        let sound = SessionReport {
            cuts: 90,
            cuts_due: 100.0,
            resumed: 88,
            chatter: talk,
            ..SessionReport::default()
        };
        let with = |chatter| SessionReport { chatter, ..sound };
        assert_eq!(session_faults(&sound), [""; 0]);
        for (bad, word) in [
            (SessionReport { cuts: 49, ..sound }, "only 49"),
            (SessionReport { cuts: 0, resumed: 0, cuts_due: 0.5, ..sound }, "only 0"),
            (SessionReport { resumed: 0, ..sound }, "no session"),
            (SessionReport { aliased_ids: 1, ..sound }, "promised"),
            (with(ChatterReport { said: 0, ..talk }), "of said: run"),
            (with(ChatterReport { messages: 0, pauses: 0, ..talk }), "of messages, pauses: run"),
            (with(ChatterReport { events: 0, ..talk }), "of events: run"),
            (with(ChatterReport { requests: 0, bulks: 0, ..talk }), "of requests, bulks: run"),
            (with(ChatterReport { unreliable_heard_ratio: Some(0.1), ..talk }), "10.0 %"),
            (with(ChatterReport { messages_lost: 1, ..talk }), "promised"),
        ] {
            let faults = session_faults(&bad);
            assert!(faults.len() == 1 && faults[0].contains(word), "{word}: {faults:?}");
        }
        let whole = super::super::report::Report {
            sessions: Some(SessionReport { resumed: 0, ..sound }),
            ..report(vec![outcome(true, 200, 10)])
        };
        assert!(!find(&whole).1, "a fault of sessions is a fault of the run");
    }

    #[test]
    fn latecomers_have_to_get_in_and_their_rate_is_nobodys_fault() {
        let late = |is_in: bool| {
            let mut late = outcome(false, 7, 0);
            late.plan.part = Part::Latecomer;
            late.join_micros = is_in.then_some(1);
            late
        };
        let with = |late: BotOutcome| report(vec![outcome(true, 200, 10), late]).is_clean;
        assert!(with(late(true)) && !with(late(false)));
    }
}
