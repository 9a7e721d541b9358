//! How the match stands: told in full to who joins, by change to all, and the newest across a lost connection.

use std::sync::Arc;

use tickwire_client::{Event, MatchNews};
use tickwire_protocol::handshake::{Role, SessionOutcome};
use tickwire_protocol::room::{MatchInfo, MatchStatus, Score};
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId};
use tickwire_protocol::{Micros, PlayerId, Schema, Tables, Tick};
use tickwire_sim::prelude::*;
use tickwire_sim::{MatchBoard, StepContext};

use crate::hall::{Guest, Hall};

/// Counts a round every second, and the steps of each player.
struct Rounds {
    schema: Arc<Schema>,
}

fn hall() -> Hall {
    let kind = Kind::new(KindId(0), "nothing", [Field::new(FieldId(0), "field", FieldType::integer(0..=1))]);
    let schema = Schema::builder("rounds").kind(kind).build().unwrap();
    Hall::new(Box::new(Rounds { schema }), |_| {})
}

fn advance(board: &mut MatchBoard, ctx_tick: Tick, hz: u32, left: &[PlayerId], players: &[PlayerId]) {
    let round = ctx_tick.0 / hz;
    let info = MatchInfo {
        status: MatchStatus::Running,
        mode: "rounds".to_owned(),
        round,
        end_tick: Some(Tick((round + 1) * hz)),
        settings: vec![7],
    };
    board.set_info(info).unwrap();
    for &player in left {
        board.remove_score(player);
    }
    for &player in players {
        let score = Score { points: round as i32, data: vec![player.0 as u8] };
        board.set_score(player, score).unwrap();
    }
}

impl Simulation for Rounds {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        let (tick, hz, left) = (ctx.tick(), ctx.tick_rate().hz(), ctx.left());
        let players: Vec<_> = ctx.players().map(|(player, _)| player).collect();
        advance(ctx.match_state().unwrap(), tick, hz, left, &players);
    }

    fn save(&self, _: &mut Tables) {}

    fn load(&mut self, _: &Tables) {}
}

const SECOND: Micros = Micros::from_secs(1);

fn news(guest: &mut Guest, now: Micros) -> Vec<MatchNews> {
    let of_match = |event| if let Event::Match(news) = event { Some(news) } else { None };
    guest.events(now).into_iter().filter_map(of_match).collect()
}

/// Whether a client has what the room has.
fn is_same(hall: &Hall, guest: &Guest) -> bool {
    let (told, board) = (guest.client.match_state(), hall.room.match_state());
    told.is_whole() && told.info() == board.info() && told.scores().eq(board.scores())
}

#[test]
fn who_joins_is_told_in_full_and_everybody_of_what_changes() {
    let mut hall = hall();
    let (mut ada, mut bob) =
        (Guest::new(&hall, Role::Player, "ada"), Guest::new(&hall, Role::Spectator, "bob"));
    hall.pass(Micros::from_millis(3_500), &mut [&mut ada]);
    hall.pass(Micros::from_millis(200), &mut [&mut ada, &mut bob]);
    assert!(is_same(&hall, &ada) && is_same(&hall, &bob));
    assert_eq!((bob.client.match_state().info().round, bob.client.match_state().scores().count()), (3, 1));
    assert_eq!(news(&mut bob, hall.now), [MatchNews { info: true, scores: true }]);
    hall.pass(Micros::from_millis(200), &mut [&mut ada, &mut bob]);
    assert_eq!(news(&mut bob, hall.now), [], "nothing has changed");
    let before = bob.bytes;
    hall.pass(SECOND, &mut [&mut ada, &mut bob]);
    assert_eq!(news(&mut bob, hall.now), [MatchNews { info: true, scores: true }]);
    assert!(is_same(&hall, &bob));
    // One change of all of it, beside some twenty snapshots of nothing.
    assert!(bob.bytes - before < 1_000, "{}", bob.bytes - before);
}

#[test]
fn the_newest_counts_for_who_was_away_and_scores_go_with_their_players() {
    let mut hall = hall();
    let mut guests = ["ada", "bob", "eve"].map(|name| Guest::new(&hall, Role::Player, name));
    let [ada, bob, eve] = &mut guests;
    hall.pass(SECOND, &mut [ada, bob, eve]);
    drop(news(ada, hall.now));
    ada.is_held = true;
    hall.cut(ada);
    hall.room.leave(eve.peer.take().unwrap());
    hall.pass(Micros::from_secs(2), &mut [bob]);
    assert!(!is_same(&hall, ada));
    ada.is_held = false;
    hall.pass(Micros::from_millis(500), &mut [ada, bob]);
    assert_eq!(ada.outcome, Some(SessionOutcome::Resumed));
    assert_eq!(news(ada, hall.now).len(), 1, "once, as it is now");
    assert!(is_same(&hall, ada) && is_same(&hall, bob));
    assert_eq!(ada.client.match_state().score(eve.player.unwrap()), None);
}
