//! The binary as a user meets it: what it prints, how it ends, what it says when something is wrong.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn tickwire(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
    command.args(args).env("TICKWIRE_LOG", "warn").stdin(Stdio::null());
    command
}

fn output(args: &[&str]) -> (Output, String) {
    let output = tickwire(args).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, error)
}

/// A server in a process of its own, on a port of the system's choice.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut command = tickwire(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        Self { child, stdout, url }
    }

    fn stop(mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let status = self.child.wait().unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "stdout is for results");
        status.code()
    }
}

#[test]
fn a_server_and_a_swarm_agree() {
    let server = Server::start(&["--room-size", "8"]);
    let (output, error) =
        output(&["swarm", "--url", &server.url, "--bots", "20", "--seconds", "2", "--json"]);
    assert!(output.status.success(), "{error}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["connected"], 20);
    assert_eq!(report["decode_errors"], 0);
    assert_eq!(report["digest_mismatches"], 0);
    assert!(report["digest_rows"].as_u64().unwrap() > 0);
    for key in [
        "bots",
        "failed",
        "seconds",
        "connect_ms",
        "join_ms",
        "snapshots_per_bot_per_s",
        "down_bytes_per_bot_per_s",
        "up_bytes_per_bot_per_s",
        "rtt_ms",
        "snapshot_interval_ms",
        "reconnects",
        "errors",
        "digests_checked",
        "starved_ratio",
    ] {
        assert!(!report[key].is_null(), "{key} is missing");
    }
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

#[test]
fn both_signals_end_a_server_cleanly() {
    for signal in [Signal::INT, Signal::TERM] {
        assert_eq!(Server::start(&[]).stop(signal), Some(0));
    }
}

#[test]
fn the_demo_sums_up_as_one_json_object() {
    let (output, error) = output(&["demo", "--bots", "8", "--seconds", "2", "--json"]);
    assert!(output.status.success(), "{error}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary["tick"].as_u64().unwrap() > 60);
    assert_eq!(summary["swarm"]["connected"], 8);
    assert!(error.contains("snapshots/s"), "a status goes to stderr: {error}");
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let server = Server::start(&[]);
    let taken = server.url.trim_start_matches("ws://").to_owned();
    let cases: [(&[&str], i32, &str); 8] = [
        (&["serve", "--listen", &taken], 1, "choose another address with --listen"),
        (&["serve", "--listen", "somewhere"], 2, "--listen"),
        (&["serve", "--tick-hz", "1000"], 2, "from 1 to 240"),
        (&["serve", "--config", "/nowhere.toml"], 2, "/nowhere.toml"),
        (&["swarm", "--url", "ws://127.0.0.1:9", "--bots", "1", "--seconds", "1"], 1, "tickwire serve"),
        (&["swarm", "--url", "http://127.0.0.1:9", "--bots", "1"], 2, "ws://"),
        (&["swarm", "--bots", "0"], 2, "at least one"),
        (&["swarm", "--bots", "10000000"], 2, "several swarms"),
    ];
    for (args, code, words) in cases {
        let (output, error) = output(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(words), "{args:?}: {error:?} should say {words:?}");
    }
    assert_eq!(server.stop(Signal::TERM), Some(0));
}
