//! What the game does beside talking: it asks and answers, tells what happens, hands out and takes in large contents, puts players into groups
//! and says how the match stands.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;

use tickwire_protocol::message::{GameEvent, RequestId, SendError};
use tickwire_protocol::room::{MatchInfo, MatchStatus, Score};
use tickwire_sim::prelude::*;
use tickwire_sim::protocol::GroupId;
use tickwire_sim::{Audience, Random};

use super::asks::{Asked, Owed, Verdict, answer};
use super::facts::{Company, Fact};
use super::game::{ANNOUNCED, ASK, HAPPENED, NEWS};
use super::hauls::{Hauls, LOAD, Turn, content, metadata};
use super::report::ChaosReport;
use super::tag::{Person, Tag};

/// Groups that players are put into.
const GROUPS: u32 = 4;

/// How often in a step a player is asked, told of something, offered something, is put into another group or has another score; and the match
/// stands otherwise.
const ASKS: f32 = 0.15;
const TELLS: f32 = 0.15;
const OFFERS: f32 = 0.012;
const MOVES: f32 = 0.02;
const MATCHES: f32 = 0.02;

/// Events that are told at once now and then: more than are let on their way.
const BURST: f32 = 0.003;
const BURST_EVENTS: u32 = 150;

/// The longest that an answer takes, ticks.
const ANSWER_TICKS_MAX: u32 = 60;

/// A player who is there.
#[derive(Clone, Copy)]
pub(super) struct Client {
    pub(super) player: PlayerId,
    pub(super) person: Person,
    pub(super) entity: EntityId,
}

#[derive(Debug)]
pub(super) struct Desk {
    /// Which start of the server it is.
    start: u32,
    facts: Sender<Fact>,
    asked: Asked<(PlayerId, RequestId)>,
    owed: Owed<(PlayerId, RequestId)>,
    hauls: Hauls<PlayerId>,
    /// Questions, contents and news of groups so far.
    questions: u32,
    loads: u32,
    news: u32,
    /// Events to each player.
    told: BTreeMap<PlayerId, u32>,
    found: ChaosReport,
}

impl Desk {
    pub(super) fn new(start: u32, facts: Sender<Fact>) -> Self {
        Self {
            start,
            facts,
            asked: Asked::new(),
            owed: Owed::new(),
            hauls: Hauls::new(),
            questions: 0,
            loads: 0,
            news: 0,
            told: BTreeMap::new(),
            found: ChaosReport::default(),
        }
    }

    /// All that is done in a step. In the end, when all is `calm`, nothing new is begun.
    pub(super) fn step(
        &mut self,
        ctx: &mut StepContext<'_>,
        clients: &[Client],
        is_listening: bool,
        is_calm: bool,
    ) {
        // Of the questions to those who have left nothing is told.
        self.asked.forget(|(player, _)| ctx.left().contains(&player));
        let mut random = ctx.random_for_room();
        if is_listening {
            self.hear_responses(ctx);
            self.take_questions(ctx, &mut random);
        }
        self.hear_hauls(ctx, &mut random);
        self.answer(ctx);
        if !is_calm {
            for client in clients {
                self.ask(ctx, client, &mut random);
                self.tell(ctx, client, clients, &mut random);
                self.offer(ctx, client, &mut random);
                self.put_together(ctx, client, &mut random);
            }
            self.speak_to_groups(ctx, &mut random);
            referee(ctx, clients, &mut random);
        }
        let open = self.asked.len() + self.hauls.len();
        let found = core::mem::take(&mut self.found);
        self.note(Fact::Stepped { found, open, groups: groups_of(ctx) });
    }

    /// Of what only the newest counts one came that was not newer.
    pub(super) fn note_back(&self, from: Person, number: u32) {
        self.note(Fact::Back(Tag::new(from, number)));
    }

    /// The lab is there as long as its room is.
    fn note(&self, fact: Fact) {
        let _ = self.facts.send(fact);
    }

    // ---- questions ---------------------------------------------------------------------------------------------

    fn ask(&mut self, ctx: &mut StepContext<'_>, client: &Client, random: &mut Random) {
        if random.chance(ASKS) {
            let timeout = Micros::from_millis([60, 1_000, 4_000][random.below(3) as usize]);
            let tag = Tag::new(client.person, self.questions);
            self.questions += 1;
            if let Ok(id) = ctx.request(client.player, ASK, tag.body().into(), timeout) {
                self.asked.note((client.player, id), tag);
            }
        }
        if random.chance(ASKS / 10.0)
            && let Some((player, id)) = self.asked.take_back(random)
        {
            ctx.cancel_request(player, id);
        }
    }

    fn hear_responses(&mut self, ctx: &mut StepContext<'_>) {
        while let Some((player, id, response)) = ctx.poll_response() {
            match self.asked.hear((player, id), response, &mut self.found) {
                Verdict::Done(tag) => self.note(Fact::Done(tag)),
                Verdict::NotDone(tag) => self.note(Fact::NotDone(tag)),
                Verdict::Unknown => {}
            }
        }
    }

    fn take_questions(&mut self, ctx: &mut StepContext<'_>, random: &mut Random) {
        while let Some((from, request)) = ctx.poll_request() {
            let tag = Tag::read(&request.body);
            self.note(Fact::Handled(tag));
            self.owed.take(u64::from(ctx.tick().0), ANSWER_TICKS_MAX, random, (from, request.id), tag);
        }
    }

    fn answer(&mut self, ctx: &mut StepContext<'_>) {
        while let Some(((player, id), tag)) = self.owed.pop_due(u64::from(ctx.tick().0)) {
            let result = ctx.respond(player, id, answer(tag));
            self.found.faults += u64::from(!matches!(result, Ok(()) | Err(SendError::NotAsked)));
        }
    }

    // ---- events ------------------------------------------------------------------------------------------------

    fn tell(&mut self, ctx: &mut StepContext<'_>, client: &Client, clients: &[Client], random: &mut Random) {
        let events = if random.chance(BURST) { BURST_EVENTS } else { u32::from(random.chance(TELLS)) };
        for _ in 0..events {
            let number = self.told.entry(client.player).or_default();
            let event = GameEvent::new(Tag::new(client.person, *number).body());
            let whom = clients[random.below(clients.len() as u32) as usize].entity;
            let event = match random.below(4) {
                0 => event.by(whom),
                1 => event.by(client.entity).to(whom),
                _ => event,
            };
            let ty = if random.chance(0.5) { ANNOUNCED } else { HAPPENED };
            if ctx.emit_event(Audience::Player(client.player), ty, &event).is_ok() {
                *number += 1;
                self.note(Fact::Told(client.person));
            }
        }
    }

    // ---- large contents ----------------------------------------------------------------------------------------

    fn offer(&mut self, ctx: &mut StepContext<'_>, client: &Client, random: &mut Random) {
        if !random.chance(OFFERS) {
            return;
        }
        let tag = Tag::new(client.person, self.loads);
        let content = content(tag);
        if let Ok(id) = ctx.offer_bulk(client.player, LOAD, metadata(tag, &content), content) {
            self.loads += 1;
            self.hauls.note(client.player, id, tag);
        }
    }

    fn hear_hauls(&mut self, ctx: &mut StepContext<'_>, random: &mut Random) {
        while let Some((player, event)) = ctx.poll_bulk() {
            match self.hauls.hear(player, event, random, &mut self.found) {
                Turn::Accept(id) => {
                    self.found.faults += u64::from(ctx.accept_bulk(player, id).is_err());
                }
                Turn::Cancel(id) => {
                    if ctx.cancel_bulk(player, id).is_ok() {
                        self.hauls.handle_cancelled(player, id);
                    }
                }
                Turn::Sent(tag) => self.note(Fact::Sent(tag)),
                Turn::Received(tag) => self.note(Fact::Received(tag)),
                Turn::Nothing => {}
            }
        }
    }

    // ---- groups ------------------------------------------------------------------------------------------------

    fn put_together(&mut self, ctx: &mut StepContext<'_>, client: &Client, random: &mut Random) {
        let (moves, group) = (random.chance(MOVES), GroupId(random.below(GROUPS)));
        let Some(groups) = ctx.groups().filter(|_| moves) else { return };
        match random.below(8) {
            0 => groups.dissolve(group),
            1..4 => groups.leave(group, client.player),
            _ => self.found.faults += u64::from(groups.join(group, client.player).is_err()),
        }
    }

    fn speak_to_groups(&mut self, ctx: &mut StepContext<'_>, random: &mut Random) {
        for (group, players) in groups_of(ctx) {
            if !random.chance(TELLS) {
                continue;
            }
            self.news += 1;
            let tag = Tag::new(Person::new(self.start, PlayerId(group.0)), self.news);
            let is_taken = ctx.send(Audience::Group(group), NEWS, group.0, tag.body().into()).is_ok();
            for player in players {
                let to = Person::new(self.start, player);
                self.note(Fact::News { to, tag, is_taken });
            }
        }
    }
}

fn groups_of(ctx: &mut StepContext<'_>) -> Company {
    let Some(groups) = ctx.groups() else { return Company::new() };
    let has_any = |group: &GroupId| groups.members(*group).len() > 0;
    let all = (0..GROUPS).map(GroupId).filter(has_any);
    all.map(|group| (group, groups.members(group).collect())).collect()
}

/// Says how the match stands, now and then otherwise.
fn referee(ctx: &mut StepContext<'_>, clients: &[Client], random: &mut Random) {
    const STATUS: [MatchStatus; 3] = [MatchStatus::Waiting, MatchStatus::Running, MatchStatus::Paused];
    let tick = ctx.tick();
    let Some(state) = ctx.match_state().filter(|_| random.chance(MATCHES)) else { return };
    let round = state.info().round + 1;
    let (settings, status) = (vec![round as u8; random.below(100) as usize], STATUS[round as usize % 3]);
    let info = MatchInfo { round, settings, status, end_tick: Some(tick + round), ..state.info().clone() };
    let is_said = state.set_info(info).is_ok();
    debug_assert!(is_said, "within its bounds");
    for client in clients {
        if random.chance(0.2) {
            state.remove_score(client.player);
        } else {
            let is_said = state.set_score(client.player, Score { points: round as i32, data: vec![7; 9] });
            debug_assert!(is_said.is_ok(), "within its bounds");
        }
    }
}
