//! What bots say, ask, send and show each other, and whether all of it has come as it is promised: `--chatter`.
//!
//! | file | what it decides |
//! |---|---|
//! | `talk` | lines, emotes, marks and cheers, to everyone |
//! | `requests` | questions to each other, and whether requests are answered |
//! | `teams` | lines to a team, which is changed now and then |
//! | `pictures` | bulk transfers to each other |
//! | `pauses` | when a bot looks away |
//! | `compare` | what some have said and others have not heard |

mod compare;
mod pauses;
mod pictures;
mod requests;
mod talk;
mod teams;

use std::collections::{BTreeMap, BTreeSet};

use tickwire_client::{Client, Event};
use tickwire_protocol::room::{MatchStatus, Profile};
use tickwire_protocol::{Micros, PlayerId};
use tickwire_sim::Random;
use tickwire_sim::arena::TEAM_CHAT;

use self::pauses::Pauses;
use self::pictures::{PictureTally, Pictures};
use self::requests::{Asked, Requests};
use self::talk::{Heard, Said, Talk};
use self::teams::{TeamTally, Teams};

pub(crate) use self::compare::ChatterReport;

/// How often a bot looks whether something is due.
pub(super) const BEAT: Micros = Micros::from_millis(100);

/// Lines that a bot says at once when its connection is lost: they wait for the next.
const LINES_WITHOUT_CONNECTION: u32 = 3;

/// What a bot does; whether its client takes it.
type Act = fn(&mut Chatter, Micros, &mut Client) -> bool;

/// All that it does while it has a connection, and how far apart on average.
const ACTS: [(Micros, Act); 9] = [
    (Micros::from_secs(1), |bot, now, client| bot.talk.say_line(now, client)),
    (Micros::from_secs(2), |bot, now, client| bot.talk.show_emote(now, client)),
    (Micros::from_secs(2), |bot, now, client| bot.talk.mark(now, client)),
    (Micros::from_secs(3), |bot, now, client| bot.talk.cheer(now, client)),
    (Micros::from_secs(2), Chatter::ask),
    (Micros::from_secs(2), |bot, now, client| bot.teams.say(now, client)),
    (Micros::from_secs(4), Chatter::change_team),
    (Micros::from_secs(4), Chatter::send_picture),
    (Micros::from_secs(5), Chatter::rename),
];

/// What was wrong with what one bot was told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Wrongs {
    doubled: u64,
    reordered: u64,
    /// Not what was said.
    garbled: u64,
}

/// What a bot knows at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    said: Said,
    heard: BTreeMap<PlayerId, Heard>,
    /// Events that came too early.
    early: u64,
    wrongs: Wrongs,
    /// What the client did not take.
    refused: u64,
    answered: u64,
    requests_timed_out: u64,
    requests_lost: u64,
    teams: TeamTally,
    pictures: PictureTally,
    pauses: u64,
    /// The number of the name that it has now, and those of the others as it was told.
    name: u32,
    names: BTreeMap<PlayerId, u32>,
    /// Who has a score in the match that runs.
    scored: BTreeSet<PlayerId>,
}

/// One bot's end of it all.
#[derive(Debug)]
pub(super) struct Chatter {
    random: Random,
    /// When each of the [`ACTS`] is done next.
    next: [Option<Micros>; ACTS.len()],
    talk: Talk,
    requests: Requests,
    teams: Teams,
    pictures: Pictures,
    pauses: Pauses,
    /// The number of its name.
    name: u32,
    refused: u64,
}

impl Chatter {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::from_seed(seed),
            next: [None; ACTS.len()],
            talk: Talk::default(),
            requests: Requests::default(),
            teams: Teams::default(),
            pictures: Pictures::default(),
            pauses: Pauses::default(),
            name: 0,
            refused: 0,
        }
    }

    /// Does what is due.
    pub(super) fn act(&mut self, now: Micros, client: &mut Client) {
        self.pauses.act(now, client, &mut self.random);
        if !client.is_playing() {
            return;
        }
        for (index, (interval, act)) in ACTS.into_iter().enumerate() {
            let due = self.next[index];
            if due.is_some_and(|due| now < due) {
                continue;
            }
            self.next[index] = Some(now + chance_of(&mut self.random, interval));
            // Bots that begin together do not all speak at once.
            if due.is_some() {
                let is_taken = act(self, now, client);
                self.refused += u64::from(!is_taken);
            }
        }
    }

    /// Says more than it would with a connection.
    pub(super) fn speak_without_connection(&mut self, now: Micros, client: &mut Client) {
        for _ in 0..LINES_WITHOUT_CONNECTION {
            self.refused += u64::from(!self.talk.say_line(now, client));
        }
        self.refused += u64::from(!self.talk.show_emote(now, client));
        self.refused += u64::from(!self.ask(now, client));
    }

    /// Nothing is said any more, and nobody looks away.
    pub(super) fn rest(&mut self, now: Micros, client: &mut Client) {
        self.pauses.end(now, client);
    }

    /// How long it has looked away, and how often.
    pub(super) fn paused(&self) -> (Micros, u64) {
        self.pauses.total()
    }

    /// Takes in what the client tells, and answers.
    pub(super) fn handle_event(&mut self, now: Micros, event: &Event, client: &mut Client) {
        self.talk.handle_event(now, event, client);
        match event {
            Event::Message(message) if message.ty == TEAM_CHAT => self.teams.hear(&message.body),
            Event::Request(request) => {
                self.refused += u64::from(!self.requests.answer(now, client, request));
            }
            Event::Response(id, response) => {
                if let Some((Asked::Team(team), body)) = self.requests.handle_response(*id, response) {
                    self.teams.handle_change(team, &body);
                }
            }
            Event::Bulk(event) => self.pictures.handle_event(event, client),
            _ => {}
        }
    }

    fn ask(&mut self, now: Micros, client: &mut Client) -> bool {
        let whom = self.somebody(client);
        whom.is_none_or(|whom| self.requests.ask(now, client, whom))
    }

    fn change_team(&mut self, now: Micros, client: &mut Client) -> bool {
        self.teams.change(now, client, &mut self.requests, &mut self.random)
    }

    fn send_picture(&mut self, now: Micros, client: &mut Client) -> bool {
        let to = self.somebody(client);
        to.is_none_or(|to| self.pictures.send(now, client, to))
    }

    /// Is called otherwise from now on.
    fn rename(&mut self, _now: Micros, client: &mut Client) -> bool {
        let Ok(profile) = Profile::new(name(self.name + 1), Vec::new()) else { return false };
        self.name += 1;
        client.set_profile(profile);
        true
    }

    /// One of the room, perhaps itself; nobody before the members are told.
    fn somebody(&mut self, client: &Client) -> Option<PlayerId> {
        let members = client.members();
        let place = self.random.below(members.len().max(1) as u32) as usize;
        members.iter().nth(place).map(|member| member.player)
    }

    /// What there is to say at the end.
    pub(super) fn tally(&self, client: &Client) -> Tally {
        let parts = [self.talk.wrongs(), self.requests.wrongs(), self.teams.wrongs(), self.pictures.wrongs()];
        let state = client.match_state();
        let is_running = state.info().status == MatchStatus::Running;
        let named = client.members().iter().map(|member| (member.player, number_of(member.profile.name())));
        Tally {
            said: self.talk.said(),
            heard: self.talk.heard().clone(),
            early: self.talk.early(),
            wrongs: parts.into_iter().fold(Wrongs::default(), Wrongs::and),
            refused: self.refused,
            answered: self.requests.answered(),
            requests_timed_out: self.requests.timed_out(),
            requests_lost: self.requests.lost(),
            teams: self.teams.tally(client),
            pictures: self.pictures.tally(),
            pauses: self.pauses.total().1,
            name: self.name,
            names: named.collect(),
            scored: state.scores().filter(|_| is_running).map(|(player, _)| player).collect(),
        }
    }
}

impl Wrongs {
    /// Number `number` of those that are to come one after another; `newest` was the last, of `count`.
    fn note_next(&mut self, number: u32, newest: &mut u32, count: &mut u32) {
        self.doubled += u64::from(number <= *newest);
        self.reordered += u64::from(number > *newest + 1);
        *count += u32::from(number > *newest);
        *newest = number.max(*newest);
    }

    fn and(self, other: Self) -> Self {
        Self {
            doubled: self.doubled + other.doubled,
            reordered: self.reordered + other.reordered,
            garbled: self.garbled + other.garbled,
        }
    }
}

/// A wait of this length on average, and of twice that at most.
fn chance_of(random: &mut Random, mean: Micros) -> Micros {
    Micros(u64::from(random.below(2 * mean.0 as u32)))
}

fn name(number: u32) -> String {
    format!("bot, {number}")
}

/// Which name it is; 0 for one that no bot has said.
fn number_of(name: &str) -> u32 {
    name.strip_prefix("bot, ").and_then(|number| number.parse().ok()).unwrap_or_default()
}
