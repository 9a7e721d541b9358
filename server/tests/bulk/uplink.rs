//! What a client says to the server, beside its inputs.

use tickwire_netsim::Profile;
use tickwire_protocol::Micros;

use crate::cores::content;
use crate::depot::SHOUT;
use crate::ends::Ends;

/// What became of a client's inputs and messages.
struct Told {
    /// Inputs that came too late or not at all.
    late: u64,
    /// How long it took until all that was said was heard.
    took: Option<Micros>,
}

/// A client that has played for a while says `bytes` in messages at once, as often as is told, at 10 Hz; it is watched for 20 s.
fn say(profile: &Profile, messages: usize, bytes: usize, times: usize) -> Told {
    let mut ends = Ends::new(profile, 4);
    ends.run(Micros::from_secs(10));
    let late = |ends: &Ends| {
        let counters = ends.room.input_counters(ends.peer.unwrap()).unwrap();
        counters.late + counters.substituted
    };
    let (before, began) = (late(&ends), ends.now);
    let mut took = None;
    for millisecond in 0..20_000 {
        if millisecond % 100 == 0 && millisecond / 100 < times {
            for _ in 0..messages {
                ends.client.send(ends.now, SHOUT, 0, content(bytes)).unwrap();
            }
        }
        ends.step();
        if ends.desk.lock().unwrap().heard == messages * bytes * times {
            took.get_or_insert(ends.now.saturating_since(began));
        }
    }
    let told = Told { late: late(&ends) - before, took };
    println!("{} {times} x {messages} x {bytes}: {} late, took {:?}", profile.name, told.late, told.took);
    told
}

/// Without a window of their own it is 360 to 850 of 1,200.
#[test]
fn a_burst_on_a_slow_link_holds_up_few_inputs() {
    for (messages, bytes) in [(200, 100), (64, 1_000), (40, 3_000)] {
        let Told { late, took } = say(&Profile::NARROW, messages, bytes, 1);
        assert!(late < 60, "{late} of 1,200 inputs came too late beside {messages} messages of {bytes}");
        assert!(took.is_some(), "all of it arrives");
    }
}

#[test]
fn a_burst_on_a_faster_link_is_there_soon() {
    for (profile, within) in [(Profile::LAN, 150), (Profile::WIFI, 250), (Profile::MOBILE_4G, 1_000)] {
        let alone = say(&profile, 0, 0, 1).late;
        for (messages, bytes) in [(200, 100), (64, 1_000), (40, 3_000)] {
            let Told { late, took } = say(&profile, messages, bytes, 1);
            assert!(late <= alone + 2, "{}: {late} late, {alone} without", profile.name);
            let took = took.expect("all of it arrives");
            assert!(took < Micros::from_millis(within), "{}: {took:?}", profile.name);
        }
    }
}

/// 30 KB a second, which is what a room takes of a client that goes on.
#[test]
fn what_goes_on_and_on_is_not_held_back() {
    for profile in [Profile::LAN, Profile::WIFI, Profile::MOBILE_4G] {
        let took = say(&profile, 10, 300, 180).took.expect("all of it arrives");
        assert!(took < Micros::from_millis(18_500), "{}: {took:?}", profile.name);
    }
}
