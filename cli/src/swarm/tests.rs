//! Whole swarms against a server in this process, over real sockets. Only counts are looked at: the machine may be busy.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tickwire_server::net::ServerHandle;

use super::conduct::SwarmConfig;
use super::load::Load;
use super::{Gauges, Report, conduct};
use crate::config::RoomArgs;
use crate::serve;

/// A server on a port of its own, with rooms of so many.
async fn server(room_size: u32) -> (String, ServerHandle) {
    let rooms = RoomArgs { room_size: Some(room_size), ..RoomArgs::default() };
    let config = rooms.server_config(([127, 0, 0, 1], 0).into()).unwrap();
    let server = serve::bind(config).await.unwrap();
    let (url, handle) = (format!("ws://{}", server.local_addr().unwrap()), server.handle());
    tokio::spawn(server.run());
    (url, handle)
}

async fn swarm(config: SwarmConfig) -> Report {
    let gauges = Arc::new(Gauges::new(config.bots));
    conduct(config, gauges, std::future::pending()).await.unwrap()
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Nothing that a busy machine could not be blamed for is wrong.
fn assert_sound(report: &Report) {
    assert_eq!((report.failed, report.decode_errors, report.digest_mismatches), (0, 0, 0), "{report}");
    assert_eq!((report.reconnects, report.errors.len()), (0, 0), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn light_and_full_bots_play_together() {
    let (url, handle) = server(12).await;
    let config =
        SwarmConfig { full: 4, rooms: Some(3), length: Some(seconds(2.0)), ..SwarmConfig::new(url, 36) };
    let report = swarm(config).await;
    assert_sound(&report);
    assert_eq!((report.full, report.light, report.connected), (4, 32, 36));
    assert!(report.digests_checked >= 4, "{report}");
    // Whose acks do not come is sent nothing after two seconds; who gets snapshots till the end acks.
    assert!(report.snapshots_per_bot_per_s.min > 5.0, "{report}");
    assert!(report.input_frames_per_bot_per_s.min > 5.0, "{report}");
    assert!(report.steps_without_input_ratio < 0.5, "{report}");
    assert!(report.cpu_s > 0.0 && report.light_cpu_us_per_bot_per_s > 0.0);
    let stats = handle.stats().await;
    let mut names: Vec<_> = stats.rooms.iter().map(|room| room.name.as_str()).collect();
    // In the order in which they were opened.
    names.sort_unstable();
    assert_eq!(names, ["swarm-0", "swarm-1", "swarm-2"]);
    assert_eq!(stats.rooms.iter().map(|room| room.meters.faults).sum::<u64>(), 0);
    handle.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_and_slow_readers_come_half_way() {
    for (load, storm, slow) in [(Load::JoinStorm, 20, 0), (Load::SlowReaders, 0, 5)] {
        let (url, handle) = server(64).await;
        let length = Some(seconds(4.0));
        let config = SwarmConfig { full: 2, load, storm, slow, length, ..SwarmConfig::new(url, 8) };
        let report = swarm(config).await;
        assert_sound(&report);
        let late = report.latecomers.expect("latecomers");
        assert_eq!((late.bots, late.joined), (storm + slow, storm + slow), "{report}");
        assert_eq!((report.bots, report.connected), (8, 8), "they count apart");
        let phases = report.phases.expect("two phases");
        assert!(phases.before.snapshots_per_bot_per_s.min > 5.0, "{report}");
        assert!(phases.disturbed.snapshots_per_bot_per_s.min > 5.0, "{report}");
        assert!(phases.interval_p99_ratio > 0.0);
        handle.shutdown();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn narrow_links_stand_apart_and_idle_bots_do_nothing() {
    let (url, handle) = server(64).await;
    let config = SwarmConfig {
        full: 1,
        narrow: 2,
        load: Load::Idle,
        length: Some(seconds(2.0)),
        ramp: Duration::from_millis(200),
        ..SwarmConfig::new(url, 6)
    };
    let report = swarm(config).await;
    assert_sound(&report);
    assert_eq!((report.full, report.light), (2, 4));
    let slow = report.slow_links.expect("narrow links");
    assert_eq!(slow.bots, 2);
    // 30 ms one way, and the tick itself.
    assert!(slow.snapshot_age_ms.p50 > 30.0, "{report}");
    // Six players who stand still are next to nothing.
    assert!(report.down_bytes_per_bot_per_s.p50 < 1_000.0, "{report}");
    handle.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_too_small_is_said_with_what_to_do() {
    let (url, handle) = server(2).await;
    let config =
        SwarmConfig { full: 1, rooms: Some(1), length: Some(seconds(0.2)), ..SwarmConfig::new(url, 4) };
    let report = swarm(config).await;
    assert_eq!((report.connected, report.failed, report.is_clean), (2, 2, false), "{report}");
    assert!(report.errors.keys().all(|error| error.contains("--room-size 4")), "{:?}", report.errors);
    handle.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn bots_that_are_cut_off_hear_everything_once() {
    let (url, handle) = server(6).await;
    let config = SwarmConfig {
        churn: Some(seconds(0.4)),
        chatter: true,
        length: Some(seconds(3.0)),
        ..SwarmConfig::new(url, 10)
    };
    let report = swarm(config).await;
    assert!(report.is_clean, "{report}");
    assert_sound(&report);
    assert_eq!((report.full, report.light), (10, 0), "light bots do not listen");
    let sessions = report.sessions.expect("sessions were looked at");
    // Each is cut seven times on average, says five things in vain then, and is heard by its room.
    assert!(sessions.cuts > 20 && sessions.resumed > 10, "{report}");
    let chatter = sessions.chatter;
    assert!(chatter.said > 60 && chatter.messages > 200 && chatter.events > 10, "{report}");
    assert!(chatter.requests > 20 && chatter.bulks > 0 && chatter.pauses > 0, "{report}");
    assert!(sessions.resume_ms.max > 0.0, "{report}");
    handle.shutdown();
}

#[test]
fn what_cannot_work_is_refused() {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        swarm: super::SwarmArgs,
    }
    for (args, words) in [
        (&["--rooms", "0"][..], "at least one"),
        (&["--input-hz", "241"], "from 1 to 240"),
        (&["--ramp", "3601"], "--ramp"),
        (&["--slow-links", "65"], "only 64 bots"),
        (&["--load", "join_storm"], "--seconds"),
        (&["--bots", "24900", "--load", "join_storm", "--seconds", "1"], "several swarms"),
        (&["--load", "party"], "slow_readers"),
        (&["--churn", "0"], "0.1"),
        (&["--churn", "2", "--profile", "4g"], "--profile"),
        (&["--chatter", "--load", "slow_readers", "--seconds", "1"], "half-way"),
    ] {
        let args = ["swarm"].iter().chain(args).copied();
        let error = match Cli::try_parse_from(args) {
            Ok(cli) => cli.swarm.resolve().expect_err(words).to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(words), "{error}");
    }
}
