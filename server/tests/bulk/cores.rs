//! Over the pure cores of server and client, and a simulated network.

use bytes::Bytes;
use tickwire_client::Event;
use tickwire_netsim::Profile;
use tickwire_protocol::bulk::{BulkError, BulkEvent, BulkFailure, BulkFrame, BulkId, BulkOffer};
use tickwire_protocol::handshake::{FreshReason, Role, SessionOutcome, StreamKind};
use tickwire_protocol::{FrameType, Micros, Misbehavior};
use tickwire_server::core::Join;

use crate::ends::Ends;

pub(crate) fn content(bytes: usize) -> Bytes {
    (0..bytes).map(|place| (place.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>().into()
}

/// 64 kbit/s each way, 100 ms there and back.
const ISDN: Profile = Profile {
    name: "isdn",
    base_micros: 50_000,
    down_bits_per_second: Some(64_000),
    up_bits_per_second: Some(64_000),
    queue_micros: 3_000_000,
    ..Profile::PERFECT
};

/// What a room gives a peer of state as a rule, bytes a second.
const BUDGET: Option<u32> = Some(8_000);

/// Accepts what the client is offered.
fn accept(ends: &mut Ends) -> BulkId {
    let told = ends.take_told();
    let Some(BulkEvent::Offered { id, offer }) = told.first() else { panic!("no offer in {told:?}") };
    assert_eq!((offer.kind, &offer.metadata[..]), (3, &b"a map"[..]));
    ends.client.accept_bulk(*id).unwrap();
    *id
}

#[test]
fn both_ways_at_once_over_connections_that_end_all_the_time() {
    for cut_every in [23, 60] {
        let mut ends = Ends::new(&Profile::WIFI, 10);
        let (down, up) = (content(400_000), content(150_000));
        ends.run(Micros::from_secs(1));
        ends.desk.lock().unwrap().to_offer = Some(down.clone());
        let mine = ends.client.offer_bulk(ends.now, 9, Bytes::new(), up.clone()).unwrap();
        let (mut received, mut sent, mut cuts, mut progress) = (None, false, 0, 0);
        while received.is_none() || !sent || ends.desk.lock().unwrap().told.len() < 2 {
            assert!(ends.now < Micros::from_secs(120), "cut every {cut_every} messages: {progress}");
            ends.step();
            for event in ends.take_told() {
                match event {
                    BulkEvent::Offered { id, .. } => ends.client.accept_bulk(id).unwrap(),
                    BulkEvent::Received { content, .. } => received = Some(content),
                    BulkEvent::Sent { id } => sent = id == mine,
                    other => panic!("{other:?}"),
                }
            }
            progress = progress.max(ends.progress);
            if ends.arrived >= cut_every && ends.client.is_playing() {
                ends.cut();
                (cuts, ends.arrived) = (cuts + 1, 0);
            }
        }
        assert!(received == Some(down), "what is received is what was sent");
        let told = ends.take_game_told();
        let is_whole = |event: &BulkEvent| matches!(event, BulkEvent::Received { id, content } if *id == mine && *content == up);
        assert!(told.iter().any(is_whole));
        assert!(told.iter().any(|event| matches!(event, BulkEvent::Sent { id } if id.0 == 1)));
        assert!(cuts >= 2, "{cuts} cuts");
        assert!(ends.largest[1] <= 4_096 && ends.largest[0] <= 16 * 1024 + 64, "{:?}", ends.largest);
    }
}

/// Ages of the newest state on the client, each millisecond over a minute of a transfer there (or of none), microseconds, sorted; and bytes of it
/// that came in that minute.
fn ages_on_a_slow_link(movers: usize, budget: Option<u32>, is_beside: bool) -> (Vec<u64>, u32) {
    let mut ends = Ends::with(&ISDN, movers, budget);
    ends.run(Micros::from_secs(4));
    ends.told.clear();
    if is_beside {
        ends.desk.lock().unwrap().to_offer = Some(content(4_000_000));
    }
    let mut ages = Vec::new();
    for millisecond in 0..63_000 {
        ends.step();
        if !ends.told.is_empty() {
            accept(&mut ends);
        }
        if millisecond >= 3_000 {
            ages.push(ends.client.snapshot_age(ends.now).unwrap().0);
        }
    }
    ages.sort_unstable();
    (ages, ends.progress)
}

/// The promise: the age of state with a transfer under way is at most twice that without, and a tenth of a second is added at the most.
#[test]
fn a_transfer_on_a_slow_link_leaves_state_fresh() {
    for movers in [0, 8, 20] {
        let (alone, _) = ages_on_a_slow_link(movers, BUDGET, false);
        let (beside, bytes) = ages_on_a_slow_link(movers, BUDGET, true);
        for part in [2, 20, 100] {
            let [alone, beside] =
                [&alone, &beside].map(|ages| ages[ages.len() - 1 - ages.len() / part] / 1_000);
            println!("{movers} movers, 1/{part}: {alone} ms alone, {beside} ms beside {bytes} bytes");
            assert!(beside <= 2 * alone && beside <= alone + 100, "{alone} ms, {beside} ms");
        }
        assert!(bytes > 20_000, "{bytes} bytes in a minute");
    }
}

/// Ages of the newest state as above, beside a game that says so many bytes at each how-many-eth step; and bytes of them that came.
fn ages_beside_messages(movers: usize, to_say: Option<(usize, u32)>) -> (Vec<u64>, usize) {
    let mut ends = Ends::with(&ISDN, movers, BUDGET);
    ends.run(Micros::from_secs(4));
    ends.desk.lock().unwrap().to_say = to_say;
    let mut ages = Vec::new();
    for millisecond in 0..63_000 {
        ends.step();
        if millisecond >= 3_000 {
            ages.push(ends.client.snapshot_age(ends.now).unwrap().0);
        }
    }
    ages.sort_unstable();
    (ages, ends.said)
}

/// The promise: whatever is said, state waits a quarter of a second longer, and for two messages that are on their way, but never for all that was said. The most
/// is more than twice what the link takes.
#[test]
fn messages_on_a_slow_link_do_not_pile_up_before_state() {
    for movers in [0, 8, 20] {
        let (alone, _) = ages_beside_messages(movers, None);
        for (message, every) in [(20, 1), (200, 2), (200, 1), (1_000, 10), (3_000, 10)] {
            let (beside, bytes) = ages_beside_messages(movers, Some((message, every)));
            let [alone, beside] = [&alone, &beside].map(|ages| ages[ages.len() * 99 / 100] as usize / 1_000);
            println!(
                "{movers} movers: {alone} ms alone, {beside} ms beside {bytes} bytes in messages of {message}"
            );
            // At eight bytes a millisecond.
            assert!(beside <= alone + 250 + 2 * message / 8, "{alone} ms, {beside} ms");
            let said = message * 60 / every as usize * 60;
            assert!(bytes >= said * 9 / 10 || bytes > 180_000, "{bytes} of {said} bytes in a minute");
        }
    }
}

#[test]
fn where_state_fills_the_link_a_transfer_waits() {
    let (alone, _) = ages_on_a_slow_link(400, None, false);
    let (beside, bytes) = ages_on_a_slow_link(400, None, true);
    let [alone, beside] = [&alone, &beside].map(|ages| ages[ages.len() * 99 / 100] / 1_000);
    println!("400 movers: {alone} ms alone, {beside} ms beside {bytes} bytes");
    assert!(beside <= alone + 50, "{alone} ms, {beside} ms");
    assert!(bytes < 60_000, "{bytes} bytes: it gives way");
}

#[test]
fn an_upload_on_a_slow_link_holds_up_no_input() {
    let mut ends = Ends::new(&ISDN, 4);
    ends.run(Micros::from_secs(10));
    ends.client.offer_bulk(ends.now, 9, Bytes::new(), content(4_000_000)).unwrap();
    let late = |ends: &Ends| {
        let counters = ends.room.input_counters(ends.peer.unwrap()).unwrap();
        counters.late + counters.substituted
    };
    // The lead finds out what the link is like now.
    ends.run(Micros::from_secs(10));
    let (before, began) = (late(&ends), ends.desk.lock().unwrap().progress);
    ends.run(Micros::from_secs(60));
    let (late, bytes) = (late(&ends) - before, ends.desk.lock().unwrap().progress - began);
    println!("{late} of 3600 inputs late or missing beside {bytes} bytes");
    assert!(late < 72, "{late} of 3600 inputs came too late");
    assert!(bytes > 20_000, "{bytes} bytes in a minute");
}

#[test]
fn a_fast_link_is_made_use_of() {
    let mut ends = Ends::new(&Profile::LAN, 20);
    ends.run(Micros::from_secs(2));
    ends.desk.lock().unwrap().to_offer = Some(content(16 << 20));
    ends.run(Micros::from_secs(1));
    let id = accept(&mut ends);
    let began = ends.now;
    let mut told = Vec::new();
    while told.is_empty() {
        ends.step();
        told = ends.take_told();
        assert!(ends.now < Micros::from_secs(60), "{} bytes", ends.progress);
    }
    assert!(
        matches!(&told[..], [BulkEvent::Received { id: which, content }] if *which == id && content.len() == 16 << 20)
    );
    println!("16 MiB in {} ms", (ends.now.0 - began.0) / 1_000);
}

#[test]
fn with_the_session_it_is_lost_on_both_sides() {
    let mut ends = Ends::new(&Profile::WIFI, 2);
    ends.run(Micros::from_secs(10));
    ends.desk.lock().unwrap().to_offer = Some(content(16 << 20));
    ends.run(Micros::from_secs(1));
    let id = accept(&mut ends);
    let mine = ends.client.offer_bulk(ends.now, 9, Bytes::new(), content(16 << 20)).unwrap();
    ends.run(Micros::from_secs(1));
    assert!(ends.desk.lock().unwrap().progress > 0 && ends.progress > 0);
    ends.is_down = true;
    ends.cut();
    ends.run(Micros::from_secs(4));
    assert_eq!((ends.take_told(), ends.take_game_told()), (vec![], vec![]), "the session still waits");
    ends.run(Micros::from_secs(2));
    let mut told = ends.take_game_told();
    told.sort_by_key(|event| matches!(event, BulkEvent::NotSent { .. }));
    let why = BulkFailure::Lost;
    assert_eq!(told, [BulkEvent::NotReceived { id: mine, why }, BulkEvent::NotSent { id, why }]);
    assert_eq!(ends.desk.lock().unwrap().left.len(), 1, "in the step that is told who left");
    ends.is_down = false;
    ends.run(Micros::from_secs(2));
    let told = core::mem::take(&mut ends.told);
    let fresh = SessionOutcome::Fresh(FreshReason::Unknown);
    assert_eq!(told[0], Event::Bulk(BulkEvent::NotReceived { id, why }), "before the next session begins");
    assert!(matches!(told[1], Event::Connected { outcome, .. } if outcome == fresh));
    assert_eq!(told[2..], [Event::Bulk(BulkEvent::NotSent { id: mine, why })]);
}

#[test]
fn what_is_refused_or_stopped_is_told_to_the_other_side() {
    let mut ends = Ends::new(&Profile::LAN, 2);
    ends.desk.lock().unwrap().accepts = false;
    ends.run(Micros::from_secs(1));
    let mine = ends.client.offer_bulk(ends.now, 9, Bytes::new(), content(10)).unwrap();
    ends.run(Micros::from_secs(1));
    assert_eq!(ends.take_told(), [BulkEvent::NotSent { id: mine, why: BulkFailure::Refused }]);
    ends.desk.lock().unwrap().to_offer = Some(content(8 << 20));
    ends.run(Micros::from_secs(1));
    let id = accept(&mut ends);
    ends.run(Micros::from_secs(1));
    assert!(ends.progress > 100_000);
    ends.client.cancel_bulk(id).unwrap();
    ends.run(Micros::from_secs(1));
    assert_eq!(ends.take_told(), [], "who stops it knows");
    assert_eq!(ends.take_game_told(), [BulkEvent::NotSent { id, why: BulkFailure::Cancelled }]);
}

#[test]
fn who_has_no_player_or_no_order_transfers_nothing() {
    let mut ends = Ends::new(&Profile::LAN, 2);
    ends.run(Micros::from_secs(1));
    let offer = BulkOffer { kind: 0, bytes: 9, metadata: Bytes::new() };
    let mut message = Vec::new();
    BulkFrame::Offer { id: BulkId(0), offer }.encode(&mut message);
    for (role, stream) in [(Role::Spectator, StreamKind::Ordered), (Role::Player, StreamKind::Datagram)] {
        let peer = ends.room.join(ends.now, Join::new(role, stream)).unwrap();
        let fault = ends.room.handle_message(ends.now, peer, message.clone().into()).unwrap_err();
        assert_eq!(fault, Misbehavior::UnexpectedFrame(FrameType::BulkOffer as u8).into());
    }
    ends.room.join(ends.now, Join::new(Role::Player, StreamKind::Datagram)).unwrap();
    ends.desk.lock().unwrap().to_offer = Some(content(9));
    ends.run(Micros::from_secs(1));
    let offered = core::mem::take(&mut ends.desk.lock().unwrap().offered);
    let results: Vec<_> = offered.iter().map(|(_, result)| *result).collect();
    assert_eq!(results, [Ok(BulkId(1)), Err(BulkError::NotOrdered)]);
}

#[test]
fn what_was_begun_with_a_player_that_was_removed_ends_with_its_session() {
    let mut ends = Ends::removing(&Profile::WIFI, 10);
    ends.run(Micros::from_secs(1));
    ends.desk.lock().unwrap().to_offer = Some(content(4_000_000));
    ends.run(Micros::from_millis(300));
    accept(&mut ends);
    ends.run(Micros::from_millis(300));
    ends.is_down = true;
    ends.cut();
    ends.run(Micros::from_secs(1));
    assert_eq!(ends.take_game_told(), [], "it may come back");
    ends.run(Micros::from_secs(6));
    let told = ends.take_game_told();
    assert!(matches!(told[..], [BulkEvent::NotSent { why: BulkFailure::Lost, .. }]), "{told:?}");
}

#[test]
fn of_a_player_that_was_removed_the_game_is_told_when_it_is_back() {
    let mut ends = Ends::removing(&Profile::WIFI, 10);
    ends.run(Micros::from_secs(1));
    ends.client.pause(ends.now);
    ends.run(Micros::from_secs(1));
    let mine = ends.client.offer_bulk(ends.now, 9, Bytes::new(), content(1_000)).unwrap();
    ends.run(Micros::from_secs(2));
    assert_eq!((ends.take_told(), ends.take_game_told()), (vec![], vec![]));
    ends.client.resume(ends.now);
    ends.run(Micros::from_secs(2));
    assert_eq!(ends.take_told(), [BulkEvent::Sent { id: mine }]);
    assert_eq!(ends.take_game_told(), [BulkEvent::Received { id: mine, content: content(1_000) }]);
}
