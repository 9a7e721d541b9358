//! Transfers over connections that end at any moment: each has one outcome, the same on both sides, and what is received is what was sent.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use tickwire_protocol::bulk::{
    Bulk, BulkEnd, BulkError, BulkEvent, BulkFailure, BulkFrame, BulkId, BulkOffer, BulkStop, Side,
};
use tickwire_protocol::frame::frames;
use tickwire_protocol::limits::{
    BULK_BYTES_MAX, BULK_CHUNK_BYTES_MAX, BULK_METADATA_BYTES_MAX, BULK_OFFER_MICROS_MAX, BULK_TRANSFERS_MAX,
    BULK_WINDOW_BYTES, CLIENT_MESSAGE_BYTES_MAX,
};
use tickwire_protocol::{DecodeError, Frame, Micros};

/// A session's client and server, and what is on its way between them on the connection of now.
struct Pair {
    client: Bulk,
    server: Bulk,
    up: VecDeque<Frame>,
    down: VecDeque<Frame>,
    now: Micros,
}

/// Content that differs from place to place and from one to another.
fn content(seed: u32, bytes: usize) -> Bytes {
    (0..bytes as u32).map(|place| (place.wrapping_mul(seed * 2 + 31) >> 3) as u8).collect::<Vec<_>>().into()
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<Frame> {
    let mut out = Vec::new();
    write(&mut out);
    if out.is_empty() { Vec::new() } else { frames(out.into()).map(|frame| frame.unwrap()).collect() }
}

impl Pair {
    fn new() -> Self {
        let (up, down) = (VecDeque::new(), VecDeque::new());
        Self { client: Bulk::new(Side::Client), server: Bulk::new(Side::Server), up, down, now: Micros(1) }
    }

    fn end(&mut self, side: Side) -> (&mut Bulk, &mut VecDeque<Frame>) {
        match side {
            Side::Client => (&mut self.client, &mut self.up),
            Side::Server => (&mut self.server, &mut self.down),
        }
    }

    /// Writes what a side has to say; a piece of content only if nothing else.
    fn transmit(&mut self, side: Side, bytes_max: usize) {
        let now = self.now;
        let (bulk, way) = self.end(side);
        let mut said = written(|out| bulk.poll_control(bytes_max, out));
        if said.is_empty() {
            said = written(|out| bulk.poll_filler(now, bytes_max, out));
        }
        way.extend(said);
    }

    /// Lets so many frames arrive that a side has written.
    fn deliver(&mut self, from: Side, count: usize) {
        for _ in 0..count {
            let Some(frame) = self.end(from).1.pop_front() else { break };
            let other = match from {
                Side::Client => &mut self.server,
                Side::Server => &mut self.client,
            };
            other.handle_frame(self.now, frame).unwrap();
        }
    }

    fn poll(&mut self, side: Side) -> Option<BulkEvent> {
        let now = self.now;
        self.end(side).0.poll_event(now)
    }

    fn poll_all(&mut self, side: Side) -> Vec<BulkEvent> {
        std::iter::from_fn(|| self.poll(side)).collect()
    }

    /// The connection ends with all that is on it; another takes its place. Where a hello or its answer is lost, only the server has seen it.
    fn cut(&mut self, is_answer_lost: bool) {
        self.up.clear();
        self.down.clear();
        let hello = self.client.received();
        self.server.handle_resumed(&hello).unwrap();
        let welcome = self.server.received();
        if !is_answer_lost {
            self.client.handle_resumed(&welcome).unwrap();
        }
    }

    /// Both write and hear all there is, for so long.
    fn settle(&mut self, seconds: u64) {
        let until = self.now + Micros::from_secs(seconds);
        while self.now < until {
            for side in [Side::Client, Side::Server] {
                self.transmit(side, CLIENT_MESSAGE_BYTES_MAX);
                self.deliver(side, usize::MAX);
            }
            self.now = self.now + Micros::from_millis(10);
        }
    }
}

fn offered(events: &[BulkEvent]) -> Vec<BulkId> {
    let id = |event: &BulkEvent| if let BulkEvent::Offered { id, .. } = event { Some(*id) } else { None };
    events.iter().filter_map(id).collect()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Offer { side: bool, bytes: usize },
    Transmit { side: bool, bytes_max: usize },
    Deliver { side: bool, count: usize },
    Poll { side: bool, accepts: bool },
    Cancel { side: bool, which: u32 },
    Wait(u64),
    Cut { is_answer_lost: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![0..2_000_usize, Just(0), Just(300_000)];
    prop_oneof![
        2 => (any::<bool>(), bytes).prop_map(|(side, bytes)| Step::Offer { side, bytes }),
        8 => (any::<bool>(), 600..17_000_usize).prop_map(|(side, bytes_max)| Step::Transmit { side, bytes_max }),
        8 => (any::<bool>(), 0..6_usize).prop_map(|(side, count)| Step::Deliver { side, count }),
        4 => (any::<bool>(), prop::bool::weighted(0.8)).prop_map(|(side, accepts)| Step::Poll { side, accepts }),
        1 => (any::<bool>(), 0..12_u32).prop_map(|(side, which)| Step::Cancel { side, which }),
        4 => (0..400_u64).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(|is_answer_lost| Step::Cut { is_answer_lost }),
    ]
}

/// What a game knows of one transfer.
#[derive(Debug, Default)]
struct Known {
    content: Bytes,
    sent: Option<Result<(), BulkFailure>>,
    received: Option<Result<(), BulkFailure>>,
    progress: [u32; 2],
    is_cancelled: bool,
}

struct Games {
    pair: Pair,
    known: BTreeMap<BulkId, Known>,
}

impl Games {
    fn hear(&mut self, side: Side, event: BulkEvent, accepts: bool) {
        let mut grow = |id: BulkId, which: usize, bytes: u32, of: u32| {
            let known = self.known.get_mut(&id).unwrap();
            assert!(bytes > known.progress[which] && bytes <= of, "progress goes forward");
            known.progress[which] = bytes;
        };
        match event {
            BulkEvent::Offered { id, offer } => {
                assert_eq!(offer.bytes as usize, self.known[&id].content.len());
                assert_ne!(id.side(), side);
                let bulk = self.pair.end(side).0;
                if accepts { bulk.accept(id).unwrap() } else { bulk.cancel(id).unwrap() }
            }
            BulkEvent::Receiving { id, bytes, of } => grow(id, 0, bytes, of),
            BulkEvent::Sending { id, bytes, of } => grow(id, 1, bytes, of),
            BulkEvent::Received { id, content } => {
                let known = self.known.get_mut(&id).unwrap();
                assert!(content == known.content, "it is what was sent");
                assert_eq!(known.received.replace(Ok(())), None);
            }
            BulkEvent::NotReceived { id, why } => {
                assert_eq!(self.known.get_mut(&id).unwrap().received.replace(Err(why)), None);
            }
            BulkEvent::Sent { id } => {
                assert_eq!(self.known.get_mut(&id).unwrap().sent.replace(Ok(())), None);
            }
            BulkEvent::NotSent { id, why } => {
                assert_eq!(self.known.get_mut(&id).unwrap().sent.replace(Err(why)), None);
            }
        }
    }

    fn play(&mut self, step: Step) {
        let side_of = |is_client: bool| if is_client { Side::Client } else { Side::Server };
        match step {
            Step::Offer { side, bytes } => {
                let (content, now) = (content(self.known.len() as u32, bytes), self.pair.now);
                let bulk = self.pair.end(side_of(side)).0;
                if let Ok(id) = bulk.offer(now, 7, Bytes::new(), content.clone()) {
                    self.known.insert(id, Known { content, ..Known::default() });
                }
            }
            Step::Transmit { side, bytes_max } => self.pair.transmit(side_of(side), bytes_max),
            Step::Deliver { side, count } => self.pair.deliver(side_of(side), count),
            Step::Poll { side, accepts } => {
                if let Some(event) = self.pair.poll(side_of(side)) {
                    self.hear(side_of(side), event, accepts);
                }
            }
            Step::Cancel { side, which } => {
                if self.pair.end(side_of(side)).0.cancel(BulkId(which)).is_ok() {
                    self.known.get_mut(&BulkId(which)).unwrap().is_cancelled = true;
                }
            }
            Step::Wait(millis) => self.pair.now = self.pair.now + Micros::from_millis(millis),
            Step::Cut { is_answer_lost } => {
                self.pair.cut(is_answer_lost);
                if is_answer_lost {
                    // The client tries once more, and polls what it has meanwhile.
                    while let Some(event) = self.pair.poll(Side::Client) {
                        self.hear(Side::Client, event, true);
                    }
                    self.pair.cut(false);
                }
            }
        }
    }

    /// Everything comes to its end.
    fn finish(&mut self) {
        for _ in 0..60 {
            self.pair.settle(2);
            for side in [Side::Client, Side::Server] {
                while let Some(event) = self.pair.poll(side) {
                    self.hear(side, event, true);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn each_has_one_outcome_and_both_sides_agree(steps in prop::collection::vec(step(), 1..160)) {
        let mut games = Games { pair: Pair::new(), known: BTreeMap::new() };
        for step in steps {
            games.play(step);
        }
        games.finish();
        for (id, known) in &games.known {
            let outcome = known.sent.unwrap_or_else(|| panic!("{id:?} has no outcome: {known:?}"));
            prop_assert_eq!(outcome.is_ok(), known.received == Some(Ok(())), "{:?}", known);
            if !known.is_cancelled && outcome.is_err() {
                prop_assert!(matches!(outcome, Err(BulkFailure::Refused)), "{:?}", known);
            }
        }
        // All slots are free again, on both sides.
        let now = games.pair.now;
        for side in [Side::Client, Side::Server] {
            let other = if side == Side::Client { Side::Server } else { Side::Client };
            for _ in 0..BULK_TRANSFERS_MAX {
                games.pair.end(side).0.offer(now, 0, Bytes::new(), content(1, 10)).unwrap();
            }
            games.pair.settle(1);
            prop_assert_eq!(offered(&games.pair.poll_all(other)).len(), BULK_TRANSFERS_MAX);
        }
    }
}

/// A transfer of which the connection is cut after every frame there and back: it never begins anew, and arrives.
#[test]
fn a_cut_after_any_frame_loses_no_transfer() {
    for cut_at in 0..60 {
        let mut pair = Pair::new();
        let sent = content(3, 5_000);
        let id = pair.server.offer(pair.now, 1, Bytes::from_static(b"map"), sent.clone()).unwrap();
        let (mut frames, mut received, mut is_sent) = (0, None, false);
        while !is_sent {
            pair.now = pair.now + Micros::from_millis(5);
            assert!(pair.now < Micros::from_secs(20), "cut after {cut_at} frames, it arrives");
            for side in [Side::Client, Side::Server] {
                pair.transmit(side, 600);
                while !pair.end(side).1.is_empty() {
                    if frames == cut_at {
                        pair.cut(false);
                        frames += 1;
                        break;
                    }
                    pair.deliver(side, 1);
                    frames += 1;
                }
                for event in pair.poll_all(side) {
                    match event {
                        BulkEvent::Offered { id, .. } => pair.client.accept(id).unwrap(),
                        BulkEvent::Received { content, .. } => received = Some(content),
                        BulkEvent::Sent { id: which } => is_sent = which == id,
                        BulkEvent::Receiving { .. } | BulkEvent::Sending { .. } => {}
                        other => panic!("cut after {cut_at} frames: {other:?}"),
                    }
                }
            }
        }
        assert_eq!(received.as_ref(), Some(&sent));
    }
}

/// An accepted transfer to the client, of which nothing has come.
fn accepted(bytes: usize) -> (Pair, BulkId) {
    let mut pair = Pair::new();
    let id = pair.server.offer(pair.now, 0, Bytes::new(), content(5, bytes)).unwrap();
    pair.settle(1);
    assert_eq!(offered(&pair.poll_all(Side::Client)), [id]);
    pair.client.accept(id).unwrap();
    (pair, id)
}

fn forged(bulk: &mut Bulk, frame: &BulkFrame) -> Result<(), DecodeError> {
    let frame = written(|out| frame.encode(out)).remove(0);
    bulk.handle_frame(Micros(9), frame)
}

#[test]
fn a_sender_that_lies_breaks_the_protocol() {
    let (mut pair, id) = accepted(300_000);
    let chunk = |offset, bytes| BulkFrame::Chunk { id, offset, content: content(5, bytes) };
    let client = &mut pair.client;
    let mut fault = |frame| forged(client, &frame).unwrap_err().to_string();
    assert_eq!(
        fault(chunk(0, 9)),
        "bulk chunk, beyond its credit: 9 is above the limit of 0",
        "no credit yet"
    );
    written(|out| pair.client.poll_control(500, out));
    let client = &mut pair.client;
    for piece in 0..15 {
        forged(client, &chunk(piece * 16_384, 16_384)).unwrap();
    }
    let mut fault = |frame| forged(client, &frame).unwrap_err().to_string();
    assert_eq!(fault(chunk(0, 9)), "bulk chunk, not the next: 0 has no meaning");
    assert_eq!(fault(chunk(245_761, 9)), "bulk chunk, not the next: 245761 has no meaning");
    const { assert!(BULK_WINDOW_BYTES == 262_144 && BULK_CHUNK_BYTES_MAX == 16_384) };
    let stop = |stop| BulkFrame::Stop { id, stop };
    let complete = BulkStop::Complete { checksum: 0 };
    assert_eq!(fault(stop(complete)), "stop of a bulk transfer, which is not complete: 1 has no meaning");
    assert_eq!(
        fault(stop(BulkStop::Released)),
        "release of a bulk transfer, which has not ended: 1 has no meaning"
    );
    forged(client, &chunk(245_760, 16_384)).unwrap();
    let mut fault = |frame| forged(client, &frame).unwrap_err().to_string();
    assert_eq!(
        fault(chunk(262_144, 9)),
        "bulk chunk, beyond its credit: 262153 is above the limit of 262144",
        "the game has polled nothing"
    );
    let other = |id| BulkFrame::Chunk { id, offset: 0, content: content(5, 9) };
    assert_eq!(fault(other(BulkId(7))), "bulk chunk, of no transfer: 7 has no meaning");
    let unknown = BulkFrame::Stop { id: BulkId(7), stop: BulkStop::Cancelled };
    assert_eq!(fault(unknown), "bulk transfer, never offered: 7 has no meaning");
    let offer = |id| BulkFrame::Offer { id, offer: BulkOffer { kind: 0, bytes: 1, metadata: Bytes::new() } };
    assert_eq!(fault(offer(BulkId(1))), "bulk offer: 1 has no meaning", "a second time");
    assert_eq!(fault(offer(BulkId(4))), "bulk offer: 4 has no meaning", "a client's");
    for id in [3, 5, 7] {
        forged(client, &offer(BulkId(id))).unwrap();
    }
    let mut fault = |frame| forged(client, &frame).unwrap_err().to_string();
    assert_eq!(fault(offer(BulkId(9))), "bulk transfers at a time: 5 is above the limit of 4");
}

#[test]
fn a_receiver_that_lies_breaks_the_protocol() {
    let (mut pair, id) = accepted(2_000);
    let server = &mut pair.server;
    let credit = |id, received, limit| BulkFrame::Credit { id, received, limit };
    let mut fault = |frame| forged(server, &frame).unwrap_err().to_string();
    assert_eq!(fault(credit(id, 1, 2_000)), "bulk credit: 2000 has no meaning", "nothing was sent");
    assert_eq!(fault(credit(id, 0, 2_001)), "bulk credit: 2001 has no meaning", "more than there is");
    assert_eq!(fault(credit(BulkId(3), 0, 1)), "bulk transfer, never offered: 3 has no meaning");
    assert_eq!(fault(credit(BulkId(0), 0, 1)), "bulk transfer, never offered: 0 has no meaning");
    let end = |end| BulkFrame::End { id, end };
    assert_eq!(fault(end(BulkEnd::Received)), "end of a bulk transfer, not now: 0 has no meaning");
    forged(server, &credit(id, 0, 1_000)).unwrap();
    let mut fault = |frame| forged(server, &frame).unwrap_err().to_string();
    assert_eq!(fault(credit(id, 0, 999)), "bulk credit: 999 has no meaning", "credit is not taken back");
    forged(server, &end(BulkEnd::Cancelled)).unwrap();
    forged(server, &end(BulkEnd::Cancelled)).unwrap();
    assert_eq!(
        pair.poll_all(Side::Server),
        [BulkEvent::NotSent { id, why: BulkFailure::Cancelled }],
        "what is over is passed over"
    );
}

#[test]
fn a_wrong_checksum_fails_the_transfer_and_nothing_else() {
    let (mut pair, id) = accepted(100);
    pair.transmit(Side::Client, 500);
    forged(&mut pair.client, &BulkFrame::Chunk { id, offset: 0, content: content(6, 100) }).unwrap();
    pair.deliver(Side::Client, 9);
    // What the server sends itself arrives damaged.
    pair.transmit(Side::Server, 500);
    pair.down.clear();
    pair.settle(1);
    assert_eq!(pair.poll_all(Side::Client), [BulkEvent::NotReceived { id, why: BulkFailure::Damaged }]);
    pair.settle(1);
    let events = pair.poll_all(Side::Server);
    assert_eq!(events.last(), Some(&BulkEvent::NotSent { id, why: BulkFailure::Damaged }));
}

#[test]
fn what_nobody_answers_expires_on_both_sides() {
    for is_asked in [true, false] {
        let mut pair = Pair::new();
        let id = pair.client.offer(pair.now, 0, Bytes::new(), content(1, 9)).unwrap();
        pair.settle(1);
        let asked = if is_asked { pair.poll_all(Side::Server) } else { Vec::new() };
        assert_eq!(offered(&asked).len(), usize::from(is_asked));
        pair.now = pair.now + Micros(BULK_OFFER_MICROS_MAX);
        pair.settle(1);
        let told = pair.poll_all(Side::Server);
        let expected = BulkEvent::NotReceived { id, why: BulkFailure::Expired };
        assert_eq!(told, if is_asked { vec![expected] } else { Vec::new() });
        pair.settle(1);
        let expected = BulkEvent::NotSent { id, why: BulkFailure::Expired };
        assert_eq!(pair.poll_all(Side::Client), [expected]);
        assert_eq!(pair.server.accept(id), Err(BulkError::Unknown), "too late");
    }
}

#[test]
fn a_game_that_does_not_poll_is_sent_a_window_and_no_more() {
    let (mut pair, id) = accepted(2 * BULK_WINDOW_BYTES);
    pair.settle(30);
    let told = pair.poll_all(Side::Server);
    let most = told.iter().filter_map(|event| match event {
        BulkEvent::Sending { bytes, .. } => Some(*bytes as usize),
        _ => None,
    });
    assert_eq!(most.max(), Some(BULK_WINDOW_BYTES));
    let receiving =
        BulkEvent::Receiving { id, bytes: BULK_WINDOW_BYTES as u32, of: 2 * BULK_WINDOW_BYTES as u32 };
    assert_eq!(pair.poll_all(Side::Client), [receiving]);
    pair.settle(30);
    assert!(matches!(&pair.poll_all(Side::Client)[..], [BulkEvent::Received { .. }]));
}

#[test]
fn what_is_too_much_is_refused_to_the_caller() {
    let mut bulk = Bulk::new(Side::Server);
    let mut offer = |metadata: usize, bytes: usize| {
        bulk.offer(Micros(1), 0, content(1, metadata), Bytes::from(vec![0; bytes]))
    };
    let (bytes, metadata) = (BULK_BYTES_MAX + 1, BULK_METADATA_BYTES_MAX + 1);
    assert_eq!(offer(0, bytes), Err(BulkError::TooLarge { bytes, metadata: 0 }));
    assert_eq!(offer(metadata, 0), Err(BulkError::TooLarge { bytes: 0, metadata }));
    assert!(offer(0, BULK_BYTES_MAX - 2).is_ok());
    assert_eq!(offer(0, 3), Err(BulkError::Full { transfers: 1, bytes: BULK_BYTES_MAX - 2 }));
    for _ in 0..3 {
        assert!(offer(0, 0).is_ok());
    }
    assert_eq!(offer(0, 0), Err(BulkError::Full { transfers: 4, bytes: BULK_BYTES_MAX - 2 }));
}

#[test]
fn no_more_is_accepted_than_may_be_held() {
    let mut pair = Pair::new();
    let offer = |id: u32, bytes: usize| BulkFrame::Offer {
        id: BulkId(id),
        offer: BulkOffer { kind: 0, bytes: bytes as u32, metadata: Bytes::new() },
    };
    forged(&mut pair.client, &offer(1, BULK_BYTES_MAX - 10)).unwrap();
    forged(&mut pair.client, &offer(3, 11)).unwrap();
    assert_eq!(pair.client.accept(BulkId(1)), Err(BulkError::Unknown), "the game has not heard of it");
    assert_eq!(offered(&pair.poll_all(Side::Client)).len(), 2);
    assert_eq!(pair.client.accept(BulkId(1)), Ok(()));
    let full = BulkError::Full { transfers: 2, bytes: BULK_BYTES_MAX - 10 };
    assert_eq!(pair.client.accept(BulkId(3)), Err(full));
    pair.client.cancel(BulkId(1)).unwrap();
    assert_eq!(pair.client.accept(BulkId(3)), Ok(()), "it has waited");
}

#[test]
fn with_the_session_everything_is_lost_but_what_nobody_heard_of() {
    let (mut pair, id) = accepted(600_000);
    let mine = pair.client.offer(pair.now, 0, Bytes::new(), content(1, 50_000)).unwrap();
    pair.settle(1);
    pair.poll_all(Side::Client);
    let unheard = pair.client.offer(pair.now, 0, Bytes::new(), content(1, 10)).unwrap();
    pair.client.handle_fresh();
    assert_eq!(pair.client.poll_former(), Some(BulkEvent::NotReceived { id, why: BulkFailure::Lost }));
    assert_eq!(pair.poll_all(Side::Client), [BulkEvent::NotSent { id: mine, why: BulkFailure::Lost }]);
    pair.server.handle_end();
    let lost = BulkEvent::NotSent { id, why: BulkFailure::Lost };
    assert_eq!(pair.poll_all(Side::Server), [lost], "it had not asked what it was offered");
    // A new server, to which the client counts on.
    (pair.server, pair.up, pair.down) = (Bulk::new(Side::Server), VecDeque::new(), VecDeque::new());
    pair.settle(1);
    assert_eq!(offered(&pair.poll_all(Side::Server)), [unheard]);
    let again = pair.server.offer(pair.now, 0, Bytes::new(), content(1, 10)).unwrap();
    pair.settle(1);
    assert_eq!(offered(&pair.poll_all(Side::Client)), [again]);
}

#[test]
fn a_client_that_was_set_back_is_not_believed() {
    let (mut pair, _) = accepted(50_000);
    let before = pair.client.received();
    pair.settle(1);
    let mut other = Bulk::new(Side::Client);
    assert!(pair.server.handle_resumed(&other.received()).is_err(), "it knows nothing of what it accepted");
    assert!(pair.server.handle_resumed(&before).is_err(), "it had received more");
    let ahead = pair.client.received();
    assert!(Bulk::new(Side::Server).handle_resumed(&ahead).is_err(), "it was never offered that");
    assert!(other.handle_resumed(&pair.server.received()).is_ok());
    assert!(pair.server.handle_resumed(&ahead).is_ok(), "after errors nothing has changed");
}
