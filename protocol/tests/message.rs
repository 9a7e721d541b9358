//! Messages over connections that end at any moment: each reliable one arrives exactly once and in order, and of latest ones
//! the newest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::limits::{
    LATEST_KEYS_MAX, MESSAGE_BYTES_QUEUED_MAX, MESSAGES_IN_FLIGHT_MAX, MESSAGES_QUEUED_MAX,
};
use tickwire_protocol::message::engine::NOTICE;
use tickwire_protocol::message::{
    Denial, Direction, Inbox, Lane, Message, MessageAck, MessageBody, MessageClass, MessageId, MessageType,
    MessageTypeId, Missed, Notice, Outbox, Outcome, Received, SendError, Standing,
};
use tickwire_protocol::{Micros, Schema};

const RELIABLE: MessageTypeId = MessageTypeId(0);
const LATEST: MessageTypeId = MessageTypeId(1);
const UNRELIABLE: MessageTypeId = MessageTypeId(2);
const SHORT_LIVED: MessageTypeId = MessageTypeId(3);
const FROM_SERVER: MessageTypeId = MessageTypeId(4);

fn schema() -> Arc<Schema> {
    use Direction::{BothWays, ToClient};
    use MessageClass::{Latest, Reliable, Unreliable};
    Schema::builder("messages")
        .message(MessageType::new(RELIABLE, "reliable", BothWays, Reliable, 3_000))
        .message(MessageType::new(LATEST, "latest", BothWays, Latest, 64))
        .message(MessageType::new(UNRELIABLE, "unreliable", BothWays, Unreliable, 64))
        .message(MessageType::new(SHORT_LIVED, "short-lived", BothWays, Reliable, 64).expires_after(100))
        .message(MessageType::new(FROM_SERVER, "from server", ToClient, Reliable, 40_000))
        .build()
        .unwrap()
}

/// One direction of a session: a sender, a receiver, and what is on its way between them on the connection of now.
struct Way {
    outbox: Outbox,
    inbox: Inbox,
    there: VecDeque<(FrameType, Bytes)>,
    back: VecDeque<Bytes>,
    now: Micros,
}

impl Way {
    fn new() -> Self {
        Self {
            outbox: Outbox::new(schema(), Direction::ToClient),
            inbox: Inbox::new(schema(), Direction::ToClient),
            there: VecDeque::new(),
            back: VecDeque::new(),
            now: Micros(1),
        }
    }

    fn send(&mut self, ty: MessageTypeId, key: u32, body: &[u8]) -> Result<MessageId, SendError> {
        self.outbox.send(self.now, ty, key, Bytes::copy_from_slice(body).into())
    }

    fn transmit(&mut self, bytes_max: usize) {
        let mut out = Vec::new();
        self.outbox.poll_transmit(self.now, bytes_max, &mut out);
        assert!(out.len() <= bytes_max);
        if !out.is_empty() {
            self.there.extend(
                frames(out.into()).map(|frame| frame.unwrap()).map(|frame| (frame.ty, frame.payload)),
            );
        }
    }

    /// Lets so many messages arrive.
    fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            let Some((ty, payload)) = self.there.pop_front() else { break };
            assert_eq!(ty, FrameType::Message);
            self.inbox.handle_message(payload).unwrap();
        }
    }

    fn poll(&mut self, count: usize) -> Vec<Message> {
        let polled = std::iter::from_fn(|| self.inbox.poll()).take(count).collect();
        let mut out = Vec::new();
        self.inbox.poll_ack(&mut out);
        if !out.is_empty() {
            self.back.push_back(Bytes::from(out).slice(2..));
        }
        polled
    }

    fn deliver_acks(&mut self, count: usize) {
        for _ in 0..count {
            let Some(ack) = self.back.pop_front() else { break };
            self.outbox.handle_ack(MessageAck::decode(&ack).unwrap()).unwrap();
        }
    }

    /// The connection ends with all that is on it, and another takes its place.
    fn cut(&mut self) {
        self.there.clear();
        self.back.clear();
        let missed = self.outbox.handle_resumed(self.inbox.received()).unwrap();
        assert_eq!(missed, Missed::default());
        self.inbox.handle_resumed(missed).unwrap();
    }

    /// Everything there is goes all the way.
    fn settle(&mut self) -> Vec<Message> {
        let mut polled = Vec::new();
        loop {
            self.transmit(100_000);
            self.deliver(usize::MAX);
            let more = self.poll(usize::MAX);
            self.deliver_acks(usize::MAX);
            if more.is_empty() && !self.outbox.has_transmit() {
                return polled;
            }
            polled.extend(more);
        }
    }

    fn outcomes(&mut self) -> Vec<(MessageId, Outcome)> {
        let now = self.now;
        std::iter::from_fn(|| self.outbox.poll_outcome(now)).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send { key: Option<u32>, bytes: usize },
    Transmit(usize),
    Deliver(usize),
    Poll(usize),
    DeliverAcks(usize),
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (prop::option::of(0..5_u32), 8..60_usize).prop_map(|(key, bytes)| Step::Send { key, bytes }),
        3 => (0..400_usize).prop_map(Step::Transmit),
        3 => (0..8_usize).prop_map(Step::Deliver),
        2 => (0..8_usize).prop_map(Step::Poll),
        2 => (0..3_usize).prop_map(Step::DeliverAcks),
        1 => Just(Step::Cut),
    ]
}

/// The number of a message in the order of sending, as the first bytes of its body.
fn numbered(number: u64, bytes: usize) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(bytes, 7);
    body
}

fn number(message: &Message) -> u64 {
    u64::from_le_bytes(message.body[..8].try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn reliable_once_and_in_order_and_latest_at_last(steps in prop::collection::vec(step(), 1..200)) {
        let mut way = Way::new();
        let (mut reliable_sent, mut newest_sent) = (Vec::new(), BTreeMap::new());
        let mut polled = Vec::new();
        let mut ids = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let number = number as u64;
            match step {
                Step::Send { key: None, bytes } => {
                    ids.push(way.send(RELIABLE, 0, &numbered(number, bytes)).unwrap());
                    reliable_sent.push(number);
                }
                Step::Send { key: Some(key), bytes } => {
                    ids.push(way.send(LATEST, key, &numbered(number, bytes)).unwrap());
                    newest_sent.insert(key, number);
                }
                Step::Transmit(bytes) => way.transmit(bytes),
                Step::Deliver(count) => way.deliver(count),
                Step::Poll(count) => polled.extend(way.poll(count)),
                Step::DeliverAcks(count) => way.deliver_acks(count),
                Step::Cut => way.cut(),
            }
        }
        polled.extend(way.settle());
        let of = |ty| polled.iter().filter(move |message: &&Message| message.ty == ty);
        prop_assert_eq!(of(RELIABLE).map(number).collect::<Vec<_>>(), reliable_sent);
        let mut newest = BTreeMap::new();
        for message in of(LATEST) {
            let before = newest.insert(message.key, number(message));
            prop_assert!(before < Some(number(message)), "neither twice nor backwards");
        }
        prop_assert_eq!(newest, newest_sent);
        // Every message has exactly one outcome.
        let mut outcomes = way.outcomes();
        prop_assert!(outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Delivered | Outcome::Replaced)));
        outcomes.sort_by_key(|(id, _)| *id);
        prop_assert_eq!(outcomes.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
        prop_assert_eq!((way.outbox.messages(), way.outbox.bytes()), (0, 0));
    }

    #[test]
    fn a_hostile_peer_changes_nothing_by_what_is_refused(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..40)
    ) {
        let mut way = Way::new();
        for number in 0..5 {
            way.send(RELIABLE, 0, &numbered(number, 8)).unwrap();
        }
        way.transmit(60);
        for frame in frames {
            if let Ok(ack) = MessageAck::decode(&frame) {
                let messages = way.outbox.messages();
                if way.outbox.handle_ack(ack).is_err() {
                    prop_assert_eq!(way.outbox.messages(), messages);
                }
            }
            let received = way.inbox.received();
            if way.inbox.handle_message(frame.into()).is_err() {
                prop_assert_eq!(way.inbox.received(), received);
            }
        }
    }
}

#[test]
fn large_bodies_travel_as_blocks_and_count_as_they_are() {
    let mut way = Way::new();
    let (words, noise) = (b"the same again, ".repeat(180), noise(2_900));
    for body in [&words, &noise] {
        way.send(RELIABLE, 0, body).unwrap();
    }
    assert_eq!(way.outbox.bytes(), words.len() + noise.len());
    let mut out = Vec::new();
    way.outbox.poll_transmit(way.now, 4_000, &mut out);
    let payloads = frames(out.into()).map(|frame| frame.unwrap().payload).collect::<Vec<_>>();
    assert!(payloads[0].len() < 60, "{} bytes of {}", payloads[0].len(), words.len());
    assert_eq!(payloads[1].len(), 1 + 2 + noise.len(), "what does not get smaller goes as it is");
    for payload in payloads {
        way.inbox.handle_message(payload).unwrap();
    }
    let polled = core::iter::from_fn(|| way.inbox.poll()).map(|message| message.body).collect::<Vec<_>>();
    assert!(polled == [words.clone(), noise], "as they were given");
    // And so after a program has gone on.
    let mut saved = Vec::new();
    way.send(RELIABLE, 0, &words).unwrap();
    way.outbox.save(way.now, &mut saved);
    let mut outbox = Outbox::restore(&schema(), Direction::ToClient, way.now, &mut &saved[..]).unwrap();
    outbox.handle_resumed(way.inbox.received()).unwrap();
    let mut out = Vec::new();
    outbox.poll_transmit(way.now, 4_000, &mut out);
    assert!(out.len() < 60, "{}", out.len());
    for frame in frames(out.into()) {
        way.inbox.handle_message(frame.unwrap().payload).unwrap();
    }
    assert_eq!(way.inbox.poll().map(|message| message.body), Some(words.into()));
}

/// Bytes in which nothing repeats.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    core::iter::repeat_with(next).take(count).collect()
}

#[test]
fn what_does_not_fit_is_refused_and_says_why() {
    let mut way = Way::new();
    assert_eq!(way.send(MessageTypeId(9), 0, &[]), Err(SendError::UnknownType(MessageTypeId(9))));
    let too_large = way.send(LATEST, 0, &[0; 65]).unwrap_err();
    assert_eq!(too_large.to_string(), "message `latest` has 65 bytes, its type allows 64");
    let mut client = Outbox::new(schema(), Direction::ToServer);
    assert!(matches!(
        client.send(Micros(0), FROM_SERVER, 0, MessageBody::default()),
        Err(SendError::WrongWay { .. })
    ));
    for key in 0..LATEST_KEYS_MAX as u32 {
        way.send(LATEST, key, &[]).unwrap();
    }
    assert!(matches!(way.send(LATEST, 1_000_000, &[]), Err(SendError::Full { .. })));
    for _ in 0..MESSAGES_QUEUED_MAX {
        way.send(RELIABLE, 0, &[]).unwrap();
    }
    let full = SendError::Full { messages: MESSAGES_QUEUED_MAX, bytes: 0 };
    assert_eq!(way.send(RELIABLE, 0, &[]), Err(full));
    assert_eq!(way.settle().len(), MESSAGES_QUEUED_MAX + LATEST_KEYS_MAX, "what was taken arrives");
    let mut way = Way::new();
    let taken = (0..1000).take_while(|_| way.send(RELIABLE, 0, &[0; 3_000]).is_ok()).count();
    assert_eq!(taken, MESSAGE_BYTES_QUEUED_MAX / 3_000);
}

#[test]
fn a_game_that_does_not_poll_holds_the_sender_back() {
    let mut way = Way::new();
    for number in 0..MESSAGES_QUEUED_MAX as u64 {
        way.send(RELIABLE, 0, &numbered(number, 8)).unwrap();
    }
    for _ in 0..10 {
        way.transmit(1 << 20);
        way.deliver(usize::MAX);
    }
    assert_eq!(way.inbox.received().of(Lane::Messages), MESSAGES_IN_FLIGHT_MAX as u64);
    assert!(!way.outbox.has_transmit());
    assert_eq!(way.settle().len(), MESSAGES_QUEUED_MAX);
    // By bytes as well, and a message that is larger than the window goes alone.
    let mut way = Way::new();
    for _ in 0..6 {
        way.send(FROM_SERVER, 0, &vec![1; 40_000]).unwrap();
    }
    way.transmit(1 << 20);
    way.deliver(usize::MAX);
    assert_eq!(way.inbox.received().of(Lane::Messages), 1);
    assert_eq!(way.settle().len(), 6);
}

#[test]
fn a_lane_that_is_full_holds_up_no_other() {
    let mut way = Way::new();
    for number in 0..MESSAGES_QUEUED_MAX as u64 {
        way.send(RELIABLE, 0, &numbered(number, 8)).unwrap();
    }
    for _ in 0..20 {
        way.transmit(1 << 20);
        way.deliver(usize::MAX);
    }
    assert!(!way.outbox.has_transmit(), "the window is full");
    way.send(LATEST, 9, &[9]).unwrap();
    way.outbox.send_engine(way.now, NOTICE, 0, Bytes::from_static(b"no").into()).unwrap();
    assert!(!way.outbox.is_written(Lane::Control));
    way.transmit(1 << 20);
    assert!(way.outbox.is_written(Lane::Control));
    way.deliver(usize::MAX);
    assert_eq!(way.inbox.poll_lane(Lane::Control).unwrap().body, "no");
    assert_eq!(way.inbox.poll_lane(Lane::Latest).unwrap().body[..], [9]);
    // After a cut each lane goes on where it was.
    way.cut();
    assert_eq!(way.settle().len(), MESSAGES_QUEUED_MAX);
    assert_eq!(way.inbox.received().of(Lane::Control), 1);
}

#[test]
fn where_not_all_fits_better_lanes_go_first() {
    let mut way = Way::new();
    for _ in 0..40 {
        way.send(RELIABLE, 0, &[7; 30]).unwrap();
    }
    way.send(LATEST, 0, &[8; 30]).unwrap();
    way.outbox.send_engine(way.now, NOTICE, 0, Bytes::from_static(&[9; 30]).into()).unwrap();
    way.transmit(150);
    let first_bytes = way.there.iter().map(|(_, payload)| payload[payload.len() - 1]).collect::<Vec<_>>();
    assert_eq!(first_bytes, [9, 8, 7]);
}

#[test]
fn what_was_refused_is_not_taken_for_delivered() {
    let mut way = Way::new();
    let ids = [RELIABLE, RELIABLE, LATEST].map(|ty| way.send(ty, 0, &[1]).unwrap());
    way.transmit(1_000);
    let denial = Denial::TooOften { retry_after: Micros(7_000) };
    let mut refused = Vec::new();
    let mut nth = 0;
    while let Some((_, payload)) = way.there.pop_front() {
        // The latest message goes first, then one of both others.
        nth += 1;
        refused.extend(way.inbox.handle_message_unless(payload, |_, _| nth != 2).unwrap());
    }
    assert_eq!(refused, [(LATEST, 0), (RELIABLE, 1)]);
    for (ty, number) in refused {
        way.outbox.handle_notice(Notice { ty, number, denial });
    }
    let told = Outcome::Refused(denial);
    assert_eq!(way.outcomes(), [(ids[2], told), (ids[1], told)], "at once");
    assert_eq!(way.outbox.messages(), 3, "each keeps its number until that is acked");
    assert_eq!(way.settle().len(), 1);
    assert_eq!(way.outcomes(), [(ids[0], Outcome::Delivered)], "and once");
    assert_eq!((way.outbox.messages(), way.outbox.bytes()), (0, 0));
}

#[test]
fn the_engines_own_types_are_no_games() {
    let mut way = Way::new();
    assert_eq!(way.send(NOTICE, 0, &[]), Err(SendError::UnknownType(NOTICE)));
    // Nor do they go any way.
    let mut client = Outbox::new(schema(), Direction::ToServer);
    assert!(client.send_engine(Micros(0), NOTICE, 0, MessageBody::default()).is_err());
    let mut server = Inbox::new(schema(), Direction::ToServer);
    let payload = Bytes::from_static(&[0x80, 16, 0, 0]);
    assert_eq!(
        server.handle_message(payload).unwrap_err().to_string(),
        "message type, this way: 1024 has no meaning"
    );
}

#[test]
fn a_sender_that_passes_over_the_window_is_found_out() {
    let mut inbox = Inbox::new(schema(), Direction::ToClient);
    for number in 0..MESSAGES_IN_FLIGHT_MAX as u16 {
        let [low, high] = number.to_le_bytes();
        inbox.handle_message(Bytes::copy_from_slice(&[0, low, high])).unwrap();
    }
    let fault = inbox.handle_message(Bytes::from_static(&[0, 0, 1])).unwrap_err();
    assert_eq!(fault.to_string(), "messages that wait to be polled: 257 is above the limit of 256");
    let gap = inbox.handle_message(Bytes::from_static(&[0, 1, 1])).unwrap_err();
    assert_eq!(gap.to_string(), "message number, after a gap: 257 has no meaning");
    let mut server = Inbox::new(schema(), Direction::ToServer);
    let wrong_way = server.handle_message(Bytes::from_static(&[8, 0, 0])).unwrap_err();
    assert_eq!(wrong_way.to_string(), "message type, this way: 4 has no meaning");
}

#[test]
fn what_waits_too_long_expires_but_not_what_was_written() {
    let mut way = Way::new();
    let written = way.send(SHORT_LIVED, 0, &[1]).unwrap();
    way.transmit(100);
    let waits = way.send(SHORT_LIVED, 0, &[2]).unwrap();
    let standing = [written, waits].map(|id| way.outbox.standing(id));
    assert_eq!(standing, [Some(Standing::InFlight), Some(Standing::Sent)]);
    let stays = way.send(RELIABLE, 0, &[3]).unwrap();
    way.now = way.now + Micros::from_millis(99);
    assert_eq!(way.outcomes(), []);
    way.now = way.now + Micros::from_millis(1);
    assert_eq!(way.outcomes(), [(waits, Outcome::Expired)]);
    way.cut();
    assert_eq!(way.settle().iter().map(|message| message.body[0]).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(way.outcomes(), [(written, Outcome::Delivered), (stays, Outcome::Delivered)]);
    assert_eq!(way.outbox.standing(written), None);
}

/// What is said to go out next does, and what is said to wait does not.
#[test]
fn what_is_held_up_is_queued_and_the_rest_is_sent() {
    let standing = |way: &Way, ids: &[MessageId]| -> Vec<_> {
        ids.iter().map(|id| way.outbox.standing(*id).unwrap()).collect()
    };
    // By number, by bytes where one alone may be larger, and by acks that are behind.
    for (ty, bytes, count, fits) in [
        (RELIABLE, 1, MESSAGES_IN_FLIGHT_MAX + 3, MESSAGES_IN_FLIGHT_MAX),
        (FROM_SERVER, 40_000, 3, 1),
        (FROM_SERVER, 30_000, 3, 2),
    ] {
        let mut way = Way::new();
        let ids: Vec<_> = (0..count).map(|_| way.send(ty, 0, &vec![1; bytes]).unwrap()).collect();
        let [sent, queued] = [&ids[..fits], &ids[fits..]];
        assert_eq!(standing(&way, sent), vec![Standing::Sent; fits]);
        assert_eq!(standing(&way, queued), vec![Standing::Queued; count - fits]);
        for _ in 0..20 {
            way.transmit(1 << 20);
        }
        assert_eq!(standing(&way, sent), vec![Standing::InFlight; fits]);
        assert_eq!(standing(&way, queued), vec![Standing::Queued; count - fits]);
    }
    // By a link that has no room for more.
    let mut way = Way::new();
    way.outbox.set_room(10);
    let ids = [50, 1].map(|bytes| way.send(RELIABLE, 0, &vec![1; bytes]).unwrap());
    let told = [Standing::Sent, Standing::Queued];
    assert_eq!(standing(&way, &ids), told, "what begins within the room goes whole");
    way.transmit(1 << 20);
    assert_eq!(standing(&way, &ids), [Standing::InFlight, Standing::Queued]);
    let newest: Vec<_> = (0..3).map(|key| way.send(LATEST, key, &[1]).unwrap()).collect();
    assert_eq!(standing(&way, &newest), [Standing::Queued; 3]);
    way.outbox.set_room(usize::MAX);
    assert_eq!(standing(&way, &newest), [Standing::Sent; 3]);
}

#[test]
fn a_fresh_session_says_what_may_be_lost_and_keeps_the_rest() {
    let mut way = Way::new();
    let sent = way.send(RELIABLE, 0, &[1]).unwrap();
    let told = way.send(LATEST, 5, &[2]).unwrap();
    way.transmit(100);
    way.deliver(1);
    let waits = way.send(RELIABLE, 0, &[3]).unwrap();
    way.there.clear();
    way.outbox.handle_fresh();
    way.inbox.handle_fresh();
    assert_eq!(way.outcomes(), [(sent, Outcome::Lost), (told, Outcome::Lost)]);
    let bodies: Vec<_> = way.settle().iter().map(|message| message.body[0]).collect();
    assert_eq!(bodies, [2, 3], "what had come is not taken from the game");
    assert_eq!(way.outcomes(), [(waits, Outcome::Delivered)]);
}

#[test]
fn unreliable_messages_go_now_or_never() {
    let mut way = Way::new();
    way.send(UNRELIABLE, 0, &[1; 40]).unwrap();
    way.send(UNRELIABLE, 0, &[2; 40]).unwrap();
    way.transmit(60);
    assert!(!way.outbox.has_transmit());
    assert_eq!((way.outbox.dropped(), way.outbox.bytes()), (1, 0));
    assert_eq!(way.settle().len(), 1);
}

#[test]
fn a_receiver_that_went_back_in_time_is_told_what_it_missed() {
    let mut way = Way::new();
    for number in 0..5 {
        way.send(RELIABLE, 0, &numbered(number, 8)).unwrap();
    }
    assert_eq!(way.settle().len(), 5);
    way.send(RELIABLE, 0, &numbered(5, 8)).unwrap();
    // The receiver goes on from what it had before.
    way.inbox = Inbox::new(schema(), Direction::ToClient);
    let missed = way.outbox.handle_resumed(way.inbox.received()).unwrap();
    assert_eq!(missed, Missed::default().with(Lane::Messages, 5));
    way.inbox.handle_resumed(missed).unwrap();
    assert!(way.inbox.handle_resumed(Missed::default().with(Lane::Messages, u64::MAX)).is_err());
    assert_eq!(way.settle().iter().map(number).collect::<Vec<_>>(), [5]);
    // One that claims the future is not believed.
    let claim = Received::default().with(Lane::Messages, 7);
    assert!(way.outbox.handle_resumed(claim).is_err());
}

#[test]
fn a_sender_whose_other_side_is_away_keeps_what_counts() {
    let mut way = Way::new();
    for number in 0..2_000 {
        way.send(UNRELIABLE, 0, &[number as u8]).unwrap();
    }
    for _ in 0..MESSAGES_QUEUED_MAX {
        way.send(SHORT_LIVED, 0, &[]).unwrap();
    }
    assert!(matches!(way.send(RELIABLE, 0, &[]), Err(SendError::Full { .. })));
    // They are given up in time although nobody polls, and what was said for the moment takes no place.
    way.now = way.now + Micros::from_millis(100);
    for key in 0..LATEST_KEYS_MAX as u32 {
        way.send(LATEST, key, &[1; 60]).unwrap();
    }
    for _ in 0..MESSAGES_QUEUED_MAX {
        way.send(RELIABLE, 0, &[7]).unwrap();
    }
    // The newest of a key is taken however full it is.
    way.send(LATEST, 3, &[2; 60]).unwrap();
    way.cut();
    let polled = way.settle();
    assert_eq!(polled.len(), MESSAGES_QUEUED_MAX + LATEST_KEYS_MAX);
    assert!(polled.iter().any(|message| message.key == 3 && message.body[0] == 2));
}

#[test]
fn who_asks_for_no_outcomes_keeps_none() {
    let mut outbox = Outbox::new(schema(), Direction::ToClient).without_outcomes();
    let (now, mut out) = (Micros(1), Vec::new());
    for key in [1, 1, 2] {
        outbox.send(now, LATEST, key, MessageBody::default()).unwrap();
    }
    outbox.poll_transmit(now, 1_000, &mut out);
    outbox.handle_ack(MessageAck::default().with(Lane::Latest, 2)).unwrap();
    assert_eq!((outbox.messages(), outbox.poll_outcome(now)), (0, None));
}

#[test]
fn who_never_asks_for_outcomes_is_held_back() {
    let mut way = Way::new();
    let mut taken = 0;
    while way.send(RELIABLE, 0, &[1]).is_ok() {
        taken += 1;
        assert_eq!(way.settle().len(), 1);
        assert!(taken <= 10_000, "outcomes pile up");
    }
    assert_eq!(way.outcomes().len(), taken);
    assert!(way.send(RELIABLE, 0, &[1]).is_ok());
}

#[test]
fn when_all_is_over_what_was_not_delivered_is_lost() {
    let mut way = Way::new();
    let written = way.send(RELIABLE, 0, &[1]).unwrap();
    way.transmit(100);
    let (waits, newest) = (way.send(RELIABLE, 0, &[2]).unwrap(), way.send(LATEST, 0, &[3]).unwrap());
    way.outbox.handle_end();
    assert_eq!(way.outcomes(), [written, waits, newest].map(|id| (id, Outcome::Lost)));
}

#[test]
fn what_is_said_for_the_moment_holds_little_memory() {
    let large =
        MessageType::new(MessageTypeId(0), "large", Direction::ToClient, MessageClass::Unreliable, 40_000);
    let schema = Schema::builder("large").message(large).build().unwrap();
    let mut outbox = Outbox::new(schema, Direction::ToClient);
    for _ in 0..10 {
        outbox.send(Micros(1), MessageTypeId(0), 0, vec![7; 40_000].into()).unwrap();
    }
    assert_eq!(outbox.dropped(), 9, "64 KiB of it wait, not ten times as much");
}
