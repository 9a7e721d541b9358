//! The binary as a user meets it: what it prints, how it ends, what it says when something is wrong.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

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
        Self::start_as(&[&["serve", "--listen", "127.0.0.1:0"], args].concat())
    }

    fn start_as(args: &[&str]) -> Self {
        let mut command = tickwire(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
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

/// What a client by hand prints that is given these lines.
fn connect(url: &str, args: &[&str], lines: &str) -> (Output, String) {
    let mut command = tickwire(&[&["connect", url], args].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, said)
}

#[test]
fn a_client_by_hand_speaks_and_sees() {
    let server = Server::start(&["--room-size", "4"]);
    let lines =
        "types\nping\nsend chat hello, you\nhex mark 01000000 02000000 03000000\nwait 1\nlist\nstats\n";
    let (output, said) = connect(&server.url, &[], lines);
    assert!(output.status.success(), "{output:?}");
    for words in [
        "connected to `arena`, room room-1",
        "type 0 chat: BothWays, Reliable",
        "ping ",
        r#"\x00hello, you""#,
        "message mark#0: b",
        "message 0 is Delivered",
        "1 entities in view",
        " own [[\"position\",",
        "ids        session ",
        "health     ",
        "errors     0: ",
        "sent       ",
        ", reliable ",
        "digests    ",
        "disconnected: left",
    ] {
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    let (output, _) = connect(&server.url, &[], "dance\nwait 0.2\n");
    assert_eq!(output.status.code(), Some(1), "what could not be done shows");
    assert!(String::from_utf8_lossy(&output.stderr).contains("`dance` is no command"));
    // One who watches sees no player of its own, and cannot find what there is not.
    let (output, said) =
        connect(&server.url, &["--spectate", "--quiet"], "send poke x\nwait 0.3\nlist\nquit\nlist\n");
    assert!(output.status.code() == Some(1) && said.contains("0 entities in view"), "{said}");
    assert_eq!(said.matches("entities in view").count(), 1, "nothing is done behind quit: {said}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no message `poke`"));
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

/// A client by hand that is spoken to line by line.
struct Hand {
    child: Child,
    lines: Receiver<String>,
}

/// Nothing that a client says takes so long: who waits for it is told what was said instead.
const PATIENCE: Duration = Duration::from_mins(1);

impl Hand {
    fn connect(url: &str, args: &[&str]) -> Self {
        let mut command = tickwire(&[&["connect", url, "--quiet"], args].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Reads on until a line has these words.
    fn hear(&mut self, words: &str) -> String {
        let mut said = String::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("`{words}` was not said, but\n{said}");
            };
            if line.contains(words) {
                return line;
            }
            said += &(line + "\n");
        }
    }

    fn quit(mut self) -> Option<i32> {
        self.say("quit");
        self.child.wait().unwrap().code()
    }
}

#[test]
fn clients_by_hand_ask_each_other_and_show_what_a_session_has() {
    let server = Server::start(&["--room-size", "4"]);
    let mut ada = Hand::connect(&server.url, &["--name", "Ada"]);
    let id = |line: &str, word: usize| line.split_whitespace().nth(word).unwrap().to_owned();
    let player: u32 = ada
        .hear("connected to")
        .split("player ")
        .nth(1)
        .and_then(|rest| rest.split(':').next())
        .unwrap()
        .parse()
        .unwrap();
    let mut bob = Hand::connect(&server.url, &["--name", "Bob"]);
    bob.hear("connected to");

    // A request to the game, which asks the other client and passes its answer back.
    let to_ada = format!("{:08x}", player.swap_bytes());
    for (answer, heard) in [("answer", "\"here\""), ("refuse", "refused")] {
        bob.say(&format!("askhex ask {to_ada} 68 65 79"));
        let asked = id(&bob.hear("asked "), 1);
        let request = id(&ada.hear("hey"), 1);
        ada.say(&format!("{answer} {request} here"));
        assert!(bob.hear(&format!("response {asked}: ")).contains(heard));
    }
    // One that the game answers itself, and a group of which both are told.
    let joined = |hand: &mut Hand, team: &str| {
        hand.say(&format!("askhex join_team {team}"));
        !hand.hear("response ").contains("teams are 1 to 8")
    };
    assert!(joined(&mut ada, "02000000") && joined(&mut bob, "02000000") && !joined(&mut bob, "09000000"));
    ada.say("send team_chat to us");
    assert!(bob.hear("message team_chat").contains("to us"));
    ada.say("send cheer hooray");
    assert!(bob.hear("event cheered in tick ").contains("hooray"));

    ada.say("name Ada L.");
    bob.hear(&format!("member {player} has changed"));
    bob.say("members");
    bob.hear(&format!("member {player} \"Ada L.\""));
    bob.hear("group 2: ");
    bob.say("match");
    bob.hear("match Running");
    bob.hear(&format!("score of {player}: 0"));

    // Messages come through a pause, and the state is back behind it.
    bob.say("pause");
    ada.say("send chat still here");
    bob.hear("still here");
    bob.say("resume");
    bob.say("list");
    bob.hear("2 entities in view");
    assert_eq!((ada.quit(), bob.quit()), (Some(0), Some(1)), "Bob was refused twice");
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

#[test]
fn files_go_by_bulk_transfer_from_hand_to_hand() {
    let folder = Folder::new("bulk");
    let (sent, kept) = (folder.path("sent"), folder.path("kept"));
    std::fs::write(&sent, "a picture").unwrap();
    let server = Server::start(&["--room-size", "4"]);
    let mut hand = Hand::connect(&server.url, &[]);
    // Of no kind that the arena knows, and to nobody.
    hand.say(&format!("offer 9 {sent}"));
    assert!(hand.hear("bulk 0: ").contains("refused"));
    // To the player itself.
    hand.say(&format!("offer 1 {sent} 01000000"));
    let offered = hand.hear("is offered: kind 1, 9 bytes");
    let id = offered.split_whitespace().nth(1).unwrap();
    hand.say(&format!("accept {id} {kept}"));
    hand.hear(&format!("bulk {id} is here: 9 bytes"));
    // No file that is there is written over.
    hand.say(&format!("accept {id} {kept}"));
    assert_eq!(hand.quit(), Some(1));
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "a picture");
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

#[test]
fn a_client_by_hand_plays_by_a_token_that_allows_no_more() {
    let key = std::env::temp_dir().join(format!("tickwire-cli-{}.key", std::process::id()));
    let key = key.to_str().unwrap();
    let signed = ["token", "--key", key, "--generate", "--account", "alice", "--permission", "play"];
    let (token, error) = output(&signed);
    let token = String::from_utf8(token.stdout).expect(&error);
    let server = Server::start(&["--auth-key", key]);
    let (output, said) = connect(&server.url, &["--token", token.trim()], "wait 0.3\nquit\n");
    assert!(output.status.success() && said.contains("connected to `arena`"), "{output:?}");
    assert_eq!(server.stop(Signal::TERM), Some(0));
    std::fs::remove_file(key).unwrap();
}

#[test]
fn rooms_are_listed_and_a_private_one_is_opened_and_joined_by_its_secret() {
    let server = Server::start(&["--room", "lobby,annex"]);
    let rooms = |args: &[&str]| {
        let (output, error) = output(&[&["rooms", &server.url, "--json"], args].concat());
        assert!(output.status.success(), "{error}");
        let page: Value = serde_json::from_slice(&output.stdout).unwrap();
        page["rooms"].as_array().unwrap().iter().map(|room| room["name"].clone()).collect::<Value>()
    };
    assert_eq!(rooms(&[]), json!(["lobby", "annex"]));
    assert_eq!(rooms(&["--prefix", "l", "--free", "1"]), json!(["lobby"]));
    assert_eq!((rooms(&["--after", "1"]), rooms(&["--mode", "chess"])), (json!(["annex"]), json!([])));
    let (table, _) = output(&["rooms", &server.url]);
    assert!(String::from_utf8(table.stdout).unwrap().lines().any(|line| line.ends_with("  annex")));

    let den = ["--room", "den", "--secret", "sesame"];
    let refused = |args: &[&str]| {
        let (output, _) = connect(&server.url, args, "");
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&den).contains("no such room"), "{}", refused(&den));
    let (opened, said) = connect(&server.url, &[&den[..], &["--open"]].concat(), "wait 1\n");
    assert!(opened.status.success(), "{said}");
    let (joined, said) = connect(&server.url, &den, "wait 1\n");
    assert!(joined.status.success(), "{said}");
    assert_eq!(rooms(&[]), json!(["lobby", "annex"]), "it is in no list");
    let wrong = refused(&["--room", "den", "--secret", "open"]);
    assert!(wrong.contains("secret") && !wrong.contains("sesame"), "{wrong}");
    assert!(refused(&["--secret", "sesame"]).contains("--room"));
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

#[test]
fn a_server_and_a_swarm_agree() {
    let server = Server::start(&["--room-size", "8"]);
    let (output, error) =
        output(&["swarm", "--url", &server.url, "--bots", "20", "--full", "12", "--seconds", "2", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect(&error);
    // Whether it is clean hangs on the machine as well: it may be too busy for 20 snapshots a second.
    assert_eq!(output.status.success(), report["is_clean"].as_bool().unwrap(), "{error}");
    assert_eq!(
        (&report["connected"], &report["full"], &report["light"]),
        (&json!(20), &json!(12), &json!(8))
    );
    assert_eq!(report["decode_errors"], 0);
    assert_eq!(report["digest_mismatches"], 0);
    assert!(report["digest_rows"].as_u64().unwrap() > 0);
    for key in [
        "bots",
        "failed",
        "seconds",
        "cpu_s",
        "load",
        "connect_ms",
        "join_ms",
        "send_late_ms",
        "rate_bounds",
        "bots_outside_rate",
        "steps_without_input_ratio",
        "snapshots_per_bot_per_s",
        "down_bytes_per_bot_per_s",
        "up_bytes_per_bot_per_s",
        "rtt_ms",
        "snapshot_interval_ms",
        "reconnects",
        "errors",
        "digests_checked",
        "starved_ratio",
        "corrections_per_bot_per_min",
    ] {
        assert!(!report[key].is_null(), "{key} is missing");
    }
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

#[test]
fn by_wss_all_is_as_by_ws_for_who_believes_the_certificate() {
    let folder = Folder::new("tls");
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path(name));
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&certificate, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let server = Server::start(&["--tls-cert", &certificate, "--tls-key", &key, "--room-size", "8"]);
    assert!(server.url.starts_with("wss://127.0.0.1:"), "{}", server.url);
    let swarm = ["swarm", "--url", &server.url, "--bots", "8", "--full", "4", "--seconds", "2", "--json"];
    let (bots, error) = output(&[&swarm[..], &["--ca", &certificate]].concat());
    let report: Value = serde_json::from_slice(&bots.stdout).expect(&error);
    assert_eq!((&report["connected"], &report["light"]), (&json!(8), &json!(4)), "{error}");
    assert_eq!((&report["digest_mismatches"], &report["decode_errors"]), (&json!(0), &json!(0)));
    assert!(report["digest_rows"].as_u64().unwrap() > 0 && report["reconnects"] == 0);
    let (by_hand, said) = connect(&server.url, &["--ca", &certificate], "ping\n");
    assert!(by_hand.status.success() && said.contains("connected to `arena`"), "{said}");
    let (stranger, said) = connect(&server.url, &[], "ping\n");
    let error = String::from_utf8_lossy(&stranger.stderr);
    assert!(stranger.status.code() == Some(1) && error.contains("--ca"), "{error}{said}");
    assert_eq!(server.stop(Signal::TERM), Some(0));
    let (wrong, error) = output(&["serve", "--tls-cert", &certificate, "--tls-key", &certificate]);
    assert!(wrong.status.code() == Some(1) && error.contains("no private key in it"), "{error}");
}

/// A folder for the files of a test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tickwire-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What `inspect` says of a file, and its exit status.
fn inspect(args: &[&str]) -> (Value, Option<i32>) {
    let (output, error) = output(&[&["inspect", "--json"], args].concat());
    (serde_json::from_slice(&output.stdout).expect(&error), output.status.code())
}

#[test]
fn a_swarm_on_a_bad_link_feels_it() {
    let server = Server::start(&[]);
    let options = ["--bots", "4", "--seconds", "2", "--json", "--profile", "4g"];
    let (output, error) = output(&[&["swarm", "--url", &server.url][..], &options[..]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(report["connected"], 4, "{error}");
    assert_eq!((&report["decode_errors"], &report["digest_mismatches"]), (&0.into(), &0.into()), "{error}");
    // Twice 20 ms at least: 35 ms one way, wandering by 15.
    assert!(report["rtt_ms"]["p50"].as_f64().expect("a number") > 40.0, "{report}");
    assert!(report["view_delay_ms"]["p50"].as_f64().expect("a number") > 50.0, "{report}");
}

fn swarm(url: &str, bots: &str) -> Value {
    let (output, error) = output(&["swarm", "--url", url, "--bots", bots, "--seconds", "2", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect(&error);
    assert_eq!((&report["failed"], &report["unchecked_bots"]), (&json!(0), &json!(0)), "{error}");
    report
}

#[test]
fn a_recorded_match_can_be_explained_and_played_again() {
    let folder = Folder::new("recorded");
    let file = folder.path("match.twr");
    let server = Server::start(&["--record", &file]);
    swarm(&server.url, "6");
    assert_eq!(server.stop(Signal::TERM), Some(0));

    let (report, code) = inspect(&[&file, "--frames", "3", "--from", "1s"]);
    assert_eq!((code, &report["damage_count"], &report["is_complete"]), (Some(0), &json!(0), &json!(true)));
    assert_eq!(
        (&report["header"]["schema"], &report["header"]["snapshot_hz"]),
        (&json!("arena"), &json!(20))
    );
    assert_eq!(report["joined"], 6);
    assert!(report["recorded_ticks"].as_u64().unwrap() >= 40, "{report}");
    assert!(report["inputs"].as_u64().unwrap() > 6 * 60 * 2 - 60);
    let ticks = report["ticks"].as_array().unwrap();
    assert_eq!(ticks.len(), 3);
    let wanted = report["first_tick"].as_u64().unwrap() + 60;
    assert_eq!(ticks[0]["tick"], wanted);
    let row = &ticks[0]["frames"][0]["rows"][0];
    assert_eq!(row["kind"], "player");
    let named: Vec<_> = row["names"].as_array().unwrap().iter().map(|tick| tick.as_u64().unwrap()).collect();
    let is_recorded = |tick: &u64| *tick < wanted && (wanted - tick).is_multiple_of(3);
    assert!((1..=3).contains(&named.len()) && named.iter().all(is_recorded), "{named:?}");
    assert_eq!(row["fields"][0][0], "position");
    let position: Vec<_> = row["fields"][0][1].as_array().unwrap().iter().map(Value::as_f64).collect();
    assert!(position.len() == 3 && position.iter().all(|axis| axis.unwrap().abs() < 1e3), "{position:?}");

    let (text, _) = output(&["inspect", &file, "--frames", "1"]);
    let text = String::from_utf8(text.stdout).unwrap();
    for part in ["ended cleanly", "schema `arena`", "keyframe", "(own, whole", "joined: player"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }

    for args in [&[][..], &["--from", "1s", "--speed", "2", "--loop"]] {
        let replay = Server::start_as(&[&["replay", &file, "--listen", "127.0.0.1:0"], args].concat());
        let watched = swarm(&replay.url, "3");
        assert_eq!((&watched["decode_errors"], &watched["digest_mismatches"]), (&json!(0), &json!(0)));
        // Three watch the six that were recorded: none of the three has an entity.
        let (rows, digests) = (&watched["digest_rows"], &watched["digests_checked"]);
        assert_eq!(rows.as_u64().unwrap(), 6 * digests.as_u64().unwrap());
        assert!(digests.as_u64().unwrap() >= 3);
        assert_eq!(replay.stop(Signal::TERM), Some(0));
    }
}

#[test]
fn a_server_that_is_killed_leaves_a_file_that_can_be_read() {
    let folder = Folder::new("killed");
    let file = folder.path("match.twr");
    let server = Server::start(&["--record", &file, "--record-hz", "30"]);
    swarm(&server.url, "2");
    assert_eq!(server.stop(Signal::KILL), None);
    let (report, code) = inspect(&[&file]);
    assert_eq!((code, &report["is_complete"], &report["damage_count"]), (Some(0), &json!(false), &json!(0)));
    let ticks = report["recorded_ticks"].as_u64().unwrap();
    assert!(ticks >= 60);

    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 20].fill(0xee);
    std::fs::write(&file, bytes).unwrap();
    let (report, code) = inspect(&[&file]);
    assert_eq!(code, Some(1));
    // Two, where the end of a record and the head of the next were hit.
    assert!((1..=2).contains(&report["damage_count"].as_u64().unwrap()), "{report}");
    assert!(report["damage"][0]["offset"].as_u64().unwrap() <= middle as u64);
    assert!(!report["damage"][0]["what"].as_str().unwrap().is_empty());
    assert!(report["recorded_ticks"].as_u64().unwrap() < ticks);
    let (text, _) = output(&["inspect", &file]);
    assert!(String::from_utf8(text.stdout).unwrap().contains("DAMAGED     at "));
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
    let summary: Value = serde_json::from_slice(&output.stdout).expect(&error);
    assert!(summary["tick"].as_u64().unwrap() > 60);
    assert_eq!(summary["swarm"]["connected"], 8);
    assert!(error.contains("snapshots/s"), "a status goes to stderr: {error}");
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let server = Server::start(&[]);
    let taken = server.url.trim_start_matches("ws://").to_owned();
    let cases: [(&[&str], i32, &str); 14] = [
        (&["serve", "--listen", &taken], 1, "choose another address with --listen"),
        (&["serve", "--listen", "somewhere"], 2, "--listen"),
        (&["serve", "--tick-hz", "1000"], 2, "from 1 to 240"),
        (&["serve", "--config", "/nowhere.toml"], 2, "/nowhere.toml"),
        (&["swarm", "--url", "ws://127.0.0.1:9", "--bots", "1", "--seconds", "1"], 1, "tickwire serve"),
        (&["swarm", "--url", "http://127.0.0.1:9", "--bots", "1"], 2, "ws://"),
        (&["swarm", "--bots", "0"], 2, "at least one"),
        (&["swarm", "--profile", "tin-cans"], 2, "satellite"),
        (&["serve", "--record", "/nowhere/match.twr"], 2, "no such folder"),
        (&["replay", "/nowhere.twr"], 1, "cannot open /nowhere.twr"),
        (&["replay", "/nowhere.twr", "--from", "soon"], 2, "12.5s"),
        (&["inspect", "/nowhere.twr"], 1, "cannot open /nowhere.twr"),
        (&["inspect", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")], 1, "not a recording"),
        (&["swarm", "--bots", "10000000"], 2, "several swarms"),
    ];
    for (args, code, words) in cases {
        let (output, error) = output(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(words), "{args:?}: {error:?} should say {words:?}");
    }
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

#[test]
fn a_server_for_others_wants_keys_and_warns_without_tls() {
    let (refused, error) = output(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(refused.status.code() == Some(1) && error.contains("--auth-key"), "{error}");
    for (listen, is_warned) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
        let mut server = Server::start_as(&["serve", "--listen", listen, "--guests"]);
        let mut stderr = server.child.stderr.take().unwrap();
        assert_eq!(server.stop(Signal::TERM), Some(0));
        let mut warnings = String::new();
        stderr.read_to_string(&mut warnings).unwrap();
        assert_eq!(warnings.contains("no TLS") && warnings.contains("--tls-cert"), is_warned, "{warnings}");
    }
}

#[test]
fn a_server_tells_its_figures() {
    let folder = Folder::new("json-stats");
    let path = folder.path("stats.json");
    let server = Server::start(&["--json-stats", &path]);
    let (output, error) =
        output(&["swarm", "--url", &server.url, "--bots", "10", "--seconds", "2", "--json"]);
    assert!(output.status.success(), "{error}");
    assert_eq!(server.stop(Signal::TERM), Some(0));
    let stats: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let times = ["tick_ms", "flush_ms", "tick_cpu_ms", "flush_cpu_ms", "wake_up_late_ms", "snapshot_age_ms"];
    for times in times {
        let quantile = |name: &str| stats[times][name].as_f64().unwrap();
        assert!(quantile("p50") > 0.0 && quantile("p50") <= quantile("p99"), "{times}");
        assert!(quantile("p99") <= quantile("p999") && quantile("p999") <= quantile("max"), "{times}");
    }
    let count = |name: &str| stats[name].as_u64().unwrap();
    assert!(count("ticks") > 60 && count("messages_out") > 10 * 20, "{stats}");
    assert!(count("messages_in") > 100 && count("bytes_out") > count("messages_out"), "{stats}");
    assert!(count("rss_bytes") > 100_000, "{stats}");
    for reason in ["budget", "in_flight", "transport"] {
        assert!(stats["snapshots_skipped"][reason].is_u64(), "{stats}");
    }
    assert_eq!((count("broadcasts_missed"), count("faults")), (0, 0), "{stats}");
    assert!(!std::path::Path::new(&format!("{path}.new")).exists());
}

#[test]
fn figures_that_cannot_be_written_are_a_mistake() {
    let (output, error) =
        output(&["serve", "--listen", "127.0.0.1:0", "--json-stats", "/nowhere/stats.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("--json-stats /nowhere/stats.json: cannot be written"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_report_that_nobody_reads_on_ends_without_a_panic() {
    use std::os::unix::process::ExitStatusExt as _;
    const SIGPIPE: i32 = 13;
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire"));
    command.args(["lab", "--profile", "lan", "--players", "2", "--seconds", "5", "--json"]);
    let mut lab = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(lab.stdout.take());
    let output = lab.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.signal(), Some(SIGPIPE), "{:?}", output.status);
}
