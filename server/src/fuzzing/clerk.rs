//! The game of the fuzzed room: the arena, and all that a game may do with a session's client, with everybody who is there, all the while.
//! What it was promised of that holds whatever clients do: each request and each transfer comes to its one end, and in time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::bulk::{BulkEvent, BulkId};
use tickwire_protocol::message::{GameEvent, Refusal, RequestError, RequestId, Response};
use tickwire_protocol::room::Score;
use tickwire_protocol::{GroupId, Micros, PlayerId, RowMut, Schema, Tables};
use tickwire_sim::arena::{ASK, Arena, CHEERED, Level, TEAM_CHAT};
use tickwire_sim::{Audience, Simulation, StepContext};

/// Of ticks: how often it says something to all, and offers them something.
const SPEAKS: u32 = 15;
const OFFERS: u32 = 100;

/// How long it waits for an answer, and in ticks, with the one in which it hears that there was none.
const TIMEOUT: Micros = Micros::from_millis(500);
const TIMEOUT_TICKS: u32 = 32;

/// Of those that it is asked so many wait for their answers.
const OWED: usize = 3;

/// The room's own events begin with it: no player is called so, whose cheers the arena tells as events.
pub(super) const MARK: [u8; 4] = [0xff; 4];

/// Some pieces long.
pub(super) const CONTENT_BYTES: usize = 6_000;

/// What is offered is refused if it is larger.
const ACCEPTED_BYTES_MAX: u32 = 1 << 16;

/// A transfer that a client offers.
struct Coming {
    of: u32,
    bytes: u32,
    is_accepted: bool,
}

pub(super) struct Clerk {
    arena: Arena,
    /// Whose client answers, and rightly: it is honest.
    witness: PlayerId,
    ticks: u32,
    count: u32,
    asked: BTreeMap<(PlayerId, RequestId), (u32, Bytes)>,
    owed: VecDeque<(PlayerId, RequestId)>,
    going: BTreeMap<(PlayerId, BulkId), u32>,
    coming: BTreeMap<(PlayerId, BulkId), Coming>,
}

impl Clerk {
    pub(super) fn new(witness: PlayerId) -> Self {
        Self {
            arena: Arena::new(Level::for_players(4)),
            witness,
            ticks: 0,
            count: 0,
            asked: BTreeMap::new(),
            owed: VecDeque::new(),
            going: BTreeMap::new(),
            coming: BTreeMap::new(),
        }
    }

    // ---- what it says ------------------------------------------------------------------------------------------

    fn speak(&mut self, ctx: &mut StepContext<'_>, player: PlayerId) {
        self.count += 1;
        let body = Bytes::copy_from_slice(&self.count.to_le_bytes());
        if let Ok(id) = ctx.request(player, ASK, body.clone(), TIMEOUT) {
            let before = self.asked.insert((player, id), (self.ticks, body.clone()));
            assert!(before.is_none(), "{id:?} is the name of two");
        }
        // Whoever does not listen has no room for it at some time.
        let _ =
            ctx.emit_event(Audience::Player(player), CHEERED, &GameEvent::new([&MARK[..], &body].concat()));
        let group = GroupId(1 + self.count % 2);
        if let Some(groups) = ctx.groups() {
            groups.leave(GroupId(3 - group.0), player);
            let _ = groups.join(group, player);
        }
        let _ = ctx.send(Audience::Group(group), TEAM_CHAT, 0, body);
        if let Some(state) = ctx.match_state() {
            let _ = state.set_score(player, Score { points: self.count as i32, data: vec![7; 9] });
        }
        if self.count.is_multiple_of(7)
            && let Some((&(player, id), _)) =
                self.asked.iter().find(|((player, _), _)| *player != self.witness)
        {
            ctx.cancel_request(player, id);
        }
    }

    fn offer(&mut self, ctx: &mut StepContext<'_>, player: PlayerId) {
        let content = vec![self.count as u8; CONTENT_BYTES];
        if let Ok(id) = ctx.offer_bulk(player, 1, &b"a content"[..], content) {
            assert!(self.going.insert((player, id), 0).is_none(), "{id:?} is the name of two");
        }
    }

    // ---- what it hears -----------------------------------------------------------------------------------------

    fn hear_requests(&mut self, ctx: &mut StepContext<'_>) {
        self.asked.retain(|(player, _), _| !ctx.left().contains(player));
        while let Some((player, id, response)) = ctx.poll_response() {
            let Some((_, body)) = self.asked.remove(&(player, id)) else { panic!("{id:?} has ended before") };
            self.check_response(player, &body, &response);
        }
        let now = self.ticks;
        let late = self.asked.values().find(|(since, _)| now - since > TIMEOUT_TICKS);
        assert_eq!(late, None, "nobody says what became of it");
        while let Some((player, request)) = ctx.poll_request() {
            self.owed.push_back((player, request.id));
        }
        while self.owed.len() > OWED {
            let Some((player, id)) = self.owed.pop_front() else { break };
            let answer = if id.0.is_multiple_of(2) { Ok(Bytes::new()) } else { Err(Refusal::UnknownMethod) };
            // Who asked may have taken it back, or left.
            let _ = ctx.respond(player, id, answer);
        }
    }

    fn check_response(&self, player: PlayerId, body: &Bytes, response: &Response) {
        if player == self.witness {
            assert_eq!(response.as_ref(), Ok(body), "the honest peer has answered");
        }
        assert_ne!(response, &Err(RequestError::Lost), "of who has left nothing is told");
    }

    fn hear_transfers(&mut self, ctx: &mut StepContext<'_>) {
        while let Some((player, event)) = ctx.poll_bulk() {
            match event {
                BulkEvent::Offered { id, offer } => self.take(ctx, player, id, offer.bytes),
                BulkEvent::Receiving { id, bytes, of } => {
                    let Some(coming) = self.coming.get_mut(&(player, id)) else { panic!("{id:?} is none") };
                    assert!(coming.is_accepted && of == coming.of, "{id:?} has another size");
                    assert!((coming.bytes + 1..=of).contains(&bytes), "{id:?} has {bytes} of {of}");
                    coming.bytes = bytes;
                }
                BulkEvent::Received { id, content } => {
                    let Some(coming) = self.coming.remove(&(player, id)) else { panic!("{id:?} has ended") };
                    assert!(coming.is_accepted && content.len() == coming.of as usize, "{id:?} is not whole");
                }
                BulkEvent::NotReceived { id, .. } => {
                    assert!(self.coming.remove(&(player, id)).is_some(), "{id:?} has ended before");
                }
                BulkEvent::Sending { id, bytes, .. } => {
                    let Some(before) = self.going.get_mut(&(player, id)) else { panic!("{id:?} is none") };
                    assert!((*before..=CONTENT_BYTES as u32).contains(&bytes), "{id:?} has {bytes}");
                    *before = bytes;
                }
                BulkEvent::Sent { id } | BulkEvent::NotSent { id, .. } => {
                    assert!(self.going.remove(&(player, id)).is_some(), "{id:?} has ended before");
                }
            }
        }
    }

    fn take(&mut self, ctx: &mut StepContext<'_>, player: PlayerId, id: BulkId, of: u32) {
        if of > ACCEPTED_BYTES_MAX {
            let is_refused = ctx.cancel_bulk(player, id);
            return assert_eq!(is_refused, Ok(()), "what is offered just now can be refused");
        }
        let is_accepted = ctx.accept_bulk(player, id);
        assert_eq!(is_accepted, Ok(()), "what is offered just now can be accepted");
        let before = self.coming.insert((player, id), Coming { of, bytes: 0, is_accepted: true });
        assert!(before.is_none(), "{id:?} was offered before");
    }
}

impl Simulation for Clerk {
    fn schema(&self) -> &Arc<Schema> {
        self.arena.schema()
    }

    fn sanitize(&self, input: &mut RowMut<'_>) {
        self.arena.sanitize(input);
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.ticks += 1;
        // Before the arena, which would answer them itself.
        self.hear_requests(ctx);
        self.hear_transfers(ctx);
        self.arena.step(ctx);
        let players: Vec<_> = ctx.players().map(|(player, _)| player).collect();
        for player in players {
            if self.ticks.is_multiple_of(SPEAKS) {
                self.speak(ctx, player);
            }
            if self.ticks.is_multiple_of(OFFERS) {
                self.offer(ctx, player);
            }
        }
    }

    fn save(&self, out: &mut Tables) {
        self.arena.save(out);
    }

    fn load(&mut self, tables: &Tables) {
        self.arena.load(tables);
    }
}
