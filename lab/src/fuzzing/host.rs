//! The server's game: the arena, which passes on what players say, and what a script has it do beside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use bytes::Bytes;
use tickwire_protocol::bulk::{BulkError, BulkId};
use tickwire_protocol::message::{GameEvent, Refusal, RequestId, SendError};
use tickwire_protocol::room::{MatchInfo, Score};
use tickwire_protocol::{GroupId, Micros, PlayerId};
use tickwire_sim::Audience;
use tickwire_sim::arena::{ASK, Arena, CHEERED, Level, PLAYER, TEAM_CHAT};
use tickwire_sim::prelude::{EntityId, RowMut, Schema, Simulation, StepContext, Tables};

use super::ledger::{Fact, Rest};
use super::order::Order;
use super::requests::{Asked, Held, question, timeout};
use super::transfers::{KIND, Transfers, Turn, content, metadata};
use super::{Finding, MARK};

/// Groups that players are put into: the arena's first teams.
const GROUPS: u32 = 3;

/// As whom the game asks and offers: no client is called so.
const WHO: u32 = 99;

pub(super) struct Host {
    arena: Arena,
    orders: Receiver<Order>,
    facts: Sender<Fact>,
    entities: BTreeMap<PlayerId, EntityId>,
    asked: Asked<(PlayerId, RequestId)>,
    held: Held<(PlayerId, RequestId)>,
    transfers: Transfers<PlayerId>,
    /// Questions, offers, events and lines so far.
    count: u32,
}

impl Host {
    pub(super) fn new(orders: Receiver<Order>, facts: Sender<Fact>) -> Self {
        Self {
            arena: Arena::new(Level::for_players(4)),
            orders,
            facts,
            entities: BTreeMap::new(),
            asked: Asked::new(),
            held: Held::new(),
            transfers: Transfers::new(),
            count: 0,
        }
    }

    /// The table is there as long as its room is.
    fn note(&self, fact: Fact) {
        let _ = self.facts.send(fact);
    }

    fn judge(&self, player: PlayerId, found: Finding) {
        if let Err(what) = found {
            self.note(Fact::Wrong(player, what));
        }
    }

    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    fn obey(&mut self, ctx: &mut StepContext<'_>, order: Order) {
        match order {
            Order::Ask(player, much) => self.ask(ctx, player, much),
            Order::CancelRequest(which) => {
                if let Some((player, id)) = self.asked.cancel(which) {
                    ctx.cancel_request(player, id);
                }
            }
            Order::Answer(which) => {
                if let Some((asker, answer)) = self.held.release(which % 2 == 0) {
                    self.respond(ctx, asker, answer);
                }
            }
            Order::Emit(player, much) => (0..=much / 4).for_each(|_| self.emit(ctx, player, much % 4)),
            Order::Offer(player, much) => self.offer(ctx, player, much),
            Order::Decide(much) => {
                match self.transfers.held() {
                    // Its client may have taken it back, and this game not have heard of it.
                    Some((player, id)) if much % 3 > 0 => drop(self.accept(ctx, player, id)),
                    Some((player, id)) => self.cancel_transfer(ctx, player, id),
                    None => {}
                }
            }
            Order::Stop(which) => {
                if let Some((player, id)) = self.transfers.any(which) {
                    self.cancel_transfer(ctx, player, id);
                }
            }
            Order::Regroup(player, much) => regroup(ctx, player, much),
            Order::Speak(which) => self.speak(ctx, GroupId(1 + u32::from(which) % GROUPS)),
            Order::Referee(player, much) => referee(ctx, player, much),
        }
    }

    // ---- requests ----------------------------------------------------------------------------------------------

    fn ask(&mut self, ctx: &mut StepContext<'_>, player: PlayerId, much: u8) {
        let question = question(WHO, self.next(), much);
        if let Ok(id) = ctx.request(player, ASK, question.clone(), timeout(much)) {
            // Its time is the room's to know.
            let found = self.asked.note((player, id), question, Micros::ZERO);
            self.judge(player, found);
        }
    }

    fn hear_requests(&mut self, ctx: &mut StepContext<'_>) {
        // Of those to who has left nothing is told.
        self.asked.forget(|(player, _)| ctx.left().contains(&player));
        while let Some((player, id, response)) = ctx.poll_response() {
            let found = self.asked.hear(Micros::ZERO, (player, id), response);
            self.judge(player, found);
        }
        while let Some((player, request)) = ctx.poll_request() {
            let asker = (player, request.id);
            if request.ty != ASK {
                self.respond(ctx, asker, Err(Refusal::UnknownMethod));
                continue;
            }
            self.note(Fact::Asked(player, request.body.clone()));
            if let Some((asker, answer)) = self.held.take(asker, request.body) {
                self.respond(ctx, asker, answer);
            }
        }
    }

    fn respond(
        &self,
        ctx: &mut StepContext<'_>,
        (player, id): (PlayerId, RequestId),
        answer: Result<Bytes, Refusal>,
    ) {
        match ctx.respond(player, id, answer) {
            // Who asked may have taken it back, or left.
            Ok(()) | Err(SendError::NotAsked) => {}
            Err(error) => self.judge(player, Err(format!("an answer is not taken: {error}"))),
        }
    }

    // ---- bulk transfers ----------------------------------------------------------------------------------------

    fn offer(&mut self, ctx: &mut StepContext<'_>, player: PlayerId, much: u8) {
        let metadata = metadata(WHO, self.next(), much);
        if let Ok(id) = ctx.offer_bulk(player, KIND, metadata.clone(), content(&metadata)) {
            let found = self.transfers.note(player, id, metadata);
            self.judge(player, found);
        }
    }

    fn hear_transfers(&mut self, ctx: &mut StepContext<'_>) {
        while let Some((player, event)) = ctx.poll_bulk() {
            match self.transfers.hear(player, event) {
                Ok(turn) => self.transfer(ctx, player, turn),
                Err(what) => self.judge(player, Err(what)),
            }
        }
    }

    fn transfer(&mut self, ctx: &mut StepContext<'_>, player: PlayerId, turn: Turn) {
        match turn {
            Turn::Accept(id) => {
                let found =
                    self.accept(ctx, player, id).map_err(|error| format!("{id:?} is not accepted: {error}"));
                self.judge(player, found);
            }
            Turn::Cancel(id) => self.cancel_transfer(ctx, player, id),
            Turn::Received(metadata) => self.note(Fact::Received(player, metadata)),
            Turn::Sent(metadata) => self.note(Fact::Sent(player, metadata)),
            Turn::NotSent(metadata) => self.note(Fact::NotSent(player, metadata)),
            Turn::Nothing => {}
        }
    }

    fn accept(&mut self, ctx: &mut StepContext<'_>, player: PlayerId, id: BulkId) -> Result<(), BulkError> {
        ctx.accept_bulk(player, id)?;
        self.transfers.handle_accepted(player, id);
        Ok(())
    }

    fn cancel_transfer(&mut self, ctx: &mut StepContext<'_>, player: PlayerId, id: BulkId) {
        if ctx.cancel_bulk(player, id).is_ok() {
            self.transfers.handle_cancelled(player, id);
        }
    }

    // ---- events and groups -------------------------------------------------------------------------------------

    /// Something happens, by nobody, by the player or to another.
    fn emit(&mut self, ctx: &mut StepContext<'_>, player: PlayerId, whom: u8) {
        let number = self.next();
        let named = (whom > 0).then(|| self.entities.get(&player)).flatten();
        let body = [MARK, player.0, number, u32::from(named.is_none())].map(u32::to_le_bytes).concat();
        let event = GameEvent::new(body);
        let event = match named {
            Some(&entity) if whom == 1 => event.by(entity),
            Some(&entity) => event.to(entity),
            None => event,
        };
        if ctx.emit_event(Audience::Player(player), CHEERED, &event).is_ok() {
            self.note(Fact::Emitted(player, number));
        }
    }

    fn speak(&mut self, ctx: &mut StepContext<'_>, group: GroupId) {
        let number = self.next();
        let Some(to) = ctx.groups().map(|groups| groups.members(group).collect::<BTreeSet<_>>()) else {
            return;
        };
        let body = [MARK, number].map(u32::to_le_bytes).concat();
        let is_taken = ctx.send(Audience::Group(group), TEAM_CHAT, 0, body.into()).is_ok();
        self.note(Fact::Spoken { to, number, is_taken });
    }

    fn rest(&self, ctx: &mut StepContext<'_>) -> Rest {
        let players: Vec<_> = ctx.players().map(|(player, _)| player).collect();
        let member =
            |player: &PlayerId| Some((*player, (ctx.profile(*player)?.clone(), ctx.is_connected(*player))));
        let members = players.iter().filter_map(member).collect();
        let groups = ctx.groups().map(|groups| {
            let all = (1..=GROUPS).map(GroupId).filter(|group| groups.members(*group).len() > 0);
            all.map(|group| (group, groups.members(group).collect())).collect()
        });
        let (asked, transfers) = (self.asked.len(), self.transfers.open().collect());
        Rest { asked, transfers, members, groups: groups.unwrap_or_default() }
    }
}

/// Puts a player into a group, out of it, or everybody.
fn regroup(ctx: &mut StepContext<'_>, player: PlayerId, much: u8) {
    let group = GroupId(1 + u32::from(much) % GROUPS);
    let Some(groups) = ctx.groups() else { return };
    match much / 16 {
        0..7 => drop(groups.join(group, player)),
        7..11 => groups.leave(group, player),
        _ => groups.dissolve(group),
    }
}

/// The match stands otherwise, or a player's score is another, or none.
fn referee(ctx: &mut StepContext<'_>, player: PlayerId, much: u8) {
    let is_there = ctx.players().any(|(other, _)| other == player);
    let Some(state) = ctx.match_state() else { return };
    match much % 4 {
        0 => {
            let settings = vec![much; usize::from(much)];
            let info = MatchInfo { round: u32::from(much), settings, ..state.info().clone() };
            let _ = state.set_info(info);
        }
        1 => state.remove_score(player),
        _ if is_there => {
            let _ = state.set_score(player, Score { points: i32::from(much), data: vec![much; 9] });
        }
        _ => {}
    }
}

impl Simulation for Host {
    fn schema(&self) -> &Arc<Schema> {
        self.arena.schema()
    }

    fn sanitize(&self, input: &mut RowMut<'_>) {
        self.arena.sanitize(input);
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        // Before the arena, which would answer them itself.
        self.hear_requests(ctx);
        self.hear_transfers(ctx);
        self.arena.step(ctx);
        while let Ok(order) = self.orders.try_recv() {
            self.obey(ctx, order);
        }
        let rest = self.rest(ctx);
        self.note(Fact::Stepped(rest));
    }

    fn save(&self, out: &mut Tables) {
        self.arena.save(out);
    }

    fn load(&mut self, tables: &Tables) {
        self.arena.load(tables);
        let rows = tables.rows(PLAYER).filter_map(|(head, _)| Some((head.owner?, head.id)));
        self.entities = rows.collect();
    }
}
