//! What the server's game has done and seen, against what clients have: looked at as it goes, and in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use tickwire_protocol::room::Profile;
use tickwire_protocol::{GroupId, PlayerId};
use tickwire_server::core::Room;

use super::Finding;
use super::order::Order;
use super::seat::Seat;

/// What the game has seen and done, for who compares it with what clients have.
#[derive(Debug)]
pub(super) enum Fact {
    /// Something that must not be, if this player's client is honest.
    Wrong(PlayerId, String),
    /// A client has asked this.
    Asked(PlayerId, Bytes),
    /// This content of a client's is here; a client has this one, or does not get it.
    Received(PlayerId, Bytes),
    Sent(PlayerId, Bytes),
    NotSent(PlayerId, Bytes),
    /// An event was taken for a player.
    Emitted(PlayerId, u32),
    /// Something was said to a group with these in it; if it was not taken, some of them do not hear it.
    Spoken {
        to: BTreeSet<PlayerId>,
        number: u32,
        is_taken: bool,
    },
    Stepped(Rest),
}

/// How things stand behind a step.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Requests of the game's that have not ended, and players with whom transfers have not.
    pub(super) asked: usize,
    pub(super) transfers: BTreeSet<PlayerId>,
    pub(super) members: BTreeMap<PlayerId, (Profile, bool)>,
    pub(super) groups: BTreeMap<GroupId, BTreeSet<PlayerId>>,
}

/// A line that was said to a group.
struct Line {
    to: BTreeSet<PlayerId>,
    number: u32,
    is_taken: bool,
}

/// What is known of the server's game, and the way to it.
pub(super) struct Ledger {
    orders: Sender<Order>,
    facts: Receiver<Fact>,
    received: BTreeSet<Bytes>,
    sent: Vec<(PlayerId, Bytes)>,
    not_sent: Vec<(PlayerId, Bytes)>,
    /// Events to each player.
    emitted: BTreeMap<PlayerId, BTreeSet<u32>>,
    lines: Vec<Line>,
    rest: Rest,
}

impl Ledger {
    /// With the game's ends of both ways.
    pub(super) fn new() -> (Self, Receiver<Order>, Sender<Fact>) {
        let ((orders, obeyed), (told, facts)) = (channel(), channel());
        let ledger = Self {
            orders,
            facts,
            received: BTreeSet::new(),
            sent: Vec::new(),
            not_sent: Vec::new(),
            emitted: BTreeMap::new(),
            lines: Vec::new(),
            rest: Rest::default(),
        };
        (ledger, obeyed, told)
    }

    /// The game is there as long as its room is.
    pub(super) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Takes in what was done since.
    pub(super) fn read(&mut self, seats: &mut [Seat]) {
        while let Ok(fact) = self.facts.try_recv() {
            self.take(fact, seats);
        }
    }

    fn take(&mut self, fact: Fact, seats: &mut [Seat]) {
        let mut judge = |player, find: &mut dyn FnMut(&mut Seat) -> Finding| {
            if let Some(seat) = seats.iter_mut().find(|seat| seat.persons.contains(&player)) {
                let found = find(seat);
                seat.judge(found);
            }
        };
        match fact {
            Fact::Wrong(player, what) => judge(player, &mut |_| Err(format!("at the server: {what}"))),
            Fact::Asked(player, question) => judge(player, &mut |seat| {
                let is_own = question.starts_with(&seat.errands.who.to_le_bytes());
                let is_new = seat.errands.seen_above.insert(question.clone());
                check(is_own && is_new, || format!("{question:?} comes to the server again"))
            }),
            Fact::Received(player, content) => {
                let is_new = self.received.insert(content.clone());
                judge(player, &mut |_| check(is_new, || format!("{content:?} comes to the server again")));
            }
            Fact::Sent(player, content) => self.sent.push((player, content)),
            Fact::NotSent(player, content) => self.not_sent.push((player, content)),
            Fact::Emitted(player, number) => drop(self.emitted.entry(player).or_default().insert(number)),
            Fact::Spoken { to, number, is_taken } => self.lines.push(Line { to, number, is_taken }),
            Fact::Stepped(rest) => self.rest = rest,
        }
    }

    /// Whether transfers of a client that was left alone have not come to their end.
    pub(super) fn has_transfers(&self, seats: &[Seat]) -> bool {
        let is_of = |seat: &Seat| seat.player.is_some_and(|player| self.rest.transfers.contains(&player));
        seats.iter().any(|seat| seat.is_honest && (seat.errands.has_transfers() || is_of(seat)))
    }

    // ---- the end -----------------------------------------------------------------------------------------------

    /// What the server's game and a client's have of each other.
    pub(super) fn settle(&self, seat: &Seat) {
        if !seat.is_honest {
            return;
        }
        assert_eq!(seat.errands.open(), 0, "what client {} has begun has no end", seat.errands.who);
        self.settle_transfers(seat);
        self.settle_events(seat);
        self.settle_lines(seat);
    }

    /// What a side was told of a content is what the other has.
    fn settle_transfers(&self, seat: &Seat) {
        let (errands, player) = (&seat.errands, seat.player);
        assert!(!player.is_some_and(|player| self.rest.transfers.contains(&player)), "a transfer has no end");
        let missing: Vec<_> = errands.sent.difference(&self.received).collect();
        assert!(missing.is_empty(), "the server is said to have {missing:?}");
        let doubtful: Vec<_> = errands.not_sent.intersection(&self.received).collect();
        assert!(doubtful.is_empty(), "the server is said not to have {doubtful:?}");
        let of_seat = |(player, _): &&(PlayerId, Bytes)| seat.persons.contains(player);
        for (_, content) in self.sent.iter().filter(of_seat) {
            assert!(errands.received.contains(content), "the client is said to have {content:?}");
        }
        for (_, content) in self.not_sent.iter().filter(of_seat) {
            assert!(!errands.received.contains(content), "the client is said not to have {content:?}");
        }
    }

    /// Of sessions that are over some may be missing: fresh was told.
    fn settle_events(&self, seat: &Seat) {
        let none = BTreeSet::new();
        for (player, heard) in &seat.errands.events {
            let emitted = self.emitted.get(player).unwrap_or(&none);
            assert!(heard.is_subset(emitted), "events out of nothing: {heard:?} of {emitted:?}");
        }
        let of_now = |events: &BTreeMap<_, BTreeSet<_>>| {
            seat.player.and_then(|player| events.get(&player).cloned()).unwrap_or_default()
        };
        assert_eq!(of_now(&seat.errands.events), of_now(&self.emitted), "of the events some are missing");
    }

    /// Who was in a group has heard what it was told, and nobody else. Of sessions that are over some may be missing.
    fn settle_lines(&self, seat: &Seat) {
        let heard: BTreeSet<_> = seat.errands.lines.iter().collect();
        for Line { to, number, is_taken } in &self.lines {
            let is_heard = heard.contains(number);
            assert!(!is_heard || !to.is_disjoint(&seat.persons), "line {number} was for {to:?} alone");
            let is_due = *is_taken && seat.player.is_some_and(|player| to.contains(&player));
            assert!(is_heard || !is_due, "line {number} for {to:?} is missing");
        }
    }

    /// What the room tells as tables is the same on both ends.
    pub(super) fn settle_tables(&self, room: &Room, seats: &[Seat]) {
        assert_eq!(self.rest.asked, 0, "what the server's game has asked has no end");
        for seat in seats.iter().filter(|seat| seat.is_honest) {
            let (client, player) = (&seat.client, seat.player.unwrap_or_else(|| panic!("it plays")));
            let members = client.members().iter();
            let members =
                members.map(|member| (member.player, (member.profile.clone(), member.is_connected)));
            let members: BTreeMap<_, _> = members.collect();
            assert_eq!(members, self.rest.members, "the members");
            assert_eq!(members.get(&player), Some(&(seat.errands.profile.clone(), true)), "itself");
            let groups = client.groups().iter();
            let groups = groups.map(|(group, players)| (group, players.iter().copied().collect()));
            let mine = self.rest.groups.iter().filter(|(_, players)| players.contains(&player));
            let mine: BTreeMap<_, _> = mine.map(|(group, players)| (*group, players.clone())).collect();
            assert_eq!(groups.collect::<BTreeMap<_, _>>(), mine, "its groups");
            let (state, shown) = (room.match_state(), client.match_state());
            assert_eq!(state.info(), shown.info(), "the match");
            assert!(state.scores().eq(shown.scores()), "the scores");
        }
    }
}

fn check(is_right: bool, what: impl FnOnce() -> String) -> Finding {
    if is_right { Ok(()) } else { Err(what()) }
}
