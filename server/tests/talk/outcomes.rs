//! The game learns what became of what it said, of each player.

use std::sync::Arc;

use tickwire_protocol::limits::MESSAGES_QUEUED_MAX;
use tickwire_protocol::message::{
    Direction, GameEvent, MessageClass, MessageId, MessageType, MessageTypeId, Outcome, SendError,
};
use tickwire_sim::Audience;
use tickwire_sim::prelude::*;

use super::{HZ, House, Play, schema};

const LINE: MessageTypeId = MessageTypeId(0);
const SCORE: MessageTypeId = MessageTypeId(1);
const SOON: MessageTypeId = MessageTypeId(2);
const GOAL: MessageTypeId = MessageTypeId(3);
const HINT: MessageTypeId = MessageTypeId(4);

/// What is in flight of a lane at most.
const WINDOW: usize = 256;

fn spoken() -> Arc<Schema> {
    let to_client = |id, name, class| MessageType::new(id, name, Direction::ToClient, class, 300);
    schema([
        to_client(LINE, "line", MessageClass::Reliable),
        to_client(SCORE, "score", MessageClass::Latest),
        to_client(SOON, "soon", MessageClass::Reliable).expires_after(100),
        to_client(GOAL, "goal", MessageClass::Event),
        to_client(HINT, "hint", MessageClass::Unreliable),
    ])
}

fn note_outcomes(play: &Play, ctx: &mut StepContext<'_>) {
    while let Some((player, MessageId(message), outcome)) = ctx.poll_outcome() {
        play.note(format!("{message} {player} {outcome:?}"));
    }
}

fn say(ctx: &mut StepContext<'_>, to: Audience<'_>, ty: MessageTypeId) -> u64 {
    ctx.send(to, ty, 0, Bytes::from_static(b"word")).unwrap().0
}

/// What each step says is noted by its names.
fn speaks_once(play: &mut Play, ctx: &mut StepContext<'_>) {
    note_outcomes(play, ctx);
    if ctx.tick().0 == HZ {
        let first = ctx.players().next().unwrap().0;
        let said = [
            say(ctx, Audience::Room, LINE),
            say(ctx, Audience::Player(first), SCORE),
            say(ctx, Audience::Player(first), SCORE),
            say(ctx, Audience::Room, HINT),
            ctx.emit_event(Audience::Except(first), GOAL, &GameEvent::new("one")).unwrap().0,
            say(ctx, Audience::Player(PlayerId(99)), LINE),
        ];
        assert_eq!(said, [1, 2, 3, 4, 5, 6]);
    }
}

fn sorted(mut notes: Vec<String>) -> Vec<String> {
    notes.sort();
    notes
}

#[test]
fn what_is_said_to_many_has_one_name_and_an_outcome_of_each() {
    let mut house = House::new(spoken(), speaks_once, 2);
    house.run(HZ + 1);
    assert_eq!(house.notes(), ["2 1 Replaced"]);
    house.run(HZ);
    let told = ["1 1 Delivered", "1 2 Delivered", "3 1 Delivered", "5 2 Delivered"];
    assert_eq!(sorted(house.notes()), told, "of hints nothing is promised, and nobody is nobody");
}

/// More than is ever in flight, of what does not wait.
fn speaks_too_much(play: &mut Play, ctx: &mut StepContext<'_>) {
    note_outcomes(play, ctx);
    if ctx.tick().0 == HZ {
        for _ in 0..WINDOW + 2 {
            say(ctx, Audience::Room, SOON);
        }
    }
}

#[test]
fn what_found_no_room_in_time_has_expired() {
    let mut house = House::new(spoken(), speaks_too_much, 1);
    house.run(HZ / 2);
    house.seats[0].is_asleep = true;
    house.run(HZ);
    let expired = house.notes();
    house.seats[0].is_asleep = false;
    house.run(HZ);
    let delivered = house.notes();
    assert!(expired.len() >= 2 && !delivered.is_empty(), "{} {}", expired.len(), delivered.len());
    let notes = |numbers: std::ops::RangeInclusive<usize>, outcome: Outcome| -> Vec<String> {
        numbers.map(|number| format!("{number} 1 {outcome:?}")).collect()
    };
    assert_eq!(delivered, notes(1..=delivered.len(), Outcome::Delivered));
    assert_eq!(expired, notes(delivered.len() + 1..=WINDOW + 2, Outcome::Expired));
}

/// More than is ever in flight, and where the first and the last of it are.
fn looks_after(play: &mut Play, ctx: &mut StepContext<'_>) {
    if ctx.tick().0 == HZ {
        for _ in 0..=WINDOW {
            say(ctx, Audience::Room, LINE);
        }
    }
    let standing = |message: usize| ctx.standing(PlayerId(1), MessageId(message as u64));
    play.note(format!("{:?} {:?}", standing(1), standing(WINDOW + 1)));
    assert_eq!(ctx.standing(PlayerId(99), MessageId(1)), None, "nobody");
}

#[test]
fn a_game_sees_where_is_what_it_has_said() {
    let mut house = House::new(spoken(), looks_after, 1);
    house.run(HZ / 2);
    house.seats[0].is_asleep = true;
    house.run(HZ);
    let mut notes = house.notes();
    notes.dedup();
    assert_eq!(notes, ["None None", "Some(Sent) Some(Queued)", "Some(InFlight) Some(Queued)"]);
    house.seats[0].is_asleep = false;
    house.run(HZ);
    assert_eq!(house.notes().last().map(String::as_str), Some("None None"));
}

fn speaks_to_who_goes(play: &mut Play, ctx: &mut StepContext<'_>) {
    note_outcomes(play, ctx);
    if ctx.tick().0 == HZ {
        say(ctx, Audience::Room, LINE);
    }
    for player in ctx.left() {
        play.note(format!("{player} left"));
    }
}

#[test]
fn what_waits_for_who_does_not_come_back_is_lost_as_its_player_leaves() {
    let mut house = House::new(spoken(), speaks_to_who_goes, 1);
    house.run(HZ / 2);
    house.seats[0].is_asleep = true;
    house.run(HZ);
    house.cut(0);
    assert!(house.notes().is_empty());
    house.end_sessions();
    house.run(1);
    assert_eq!(house.notes(), ["1 1 Lost", "1 left"]);
    house.run(HZ);
    assert!(house.notes().is_empty(), "once");
}

/// Asks from the second second on, and speaks before and after.
fn asks_late(play: &mut Play, ctx: &mut StepContext<'_>) {
    if ctx.tick().0 >= 2 * HZ {
        note_outcomes(play, ctx);
    }
    if ctx.tick().0.is_multiple_of(HZ) {
        say(ctx, Audience::Room, LINE);
    }
}

#[test]
fn nothing_is_kept_for_a_game_before_it_asks() {
    let mut house = House::new(spoken(), asks_late, 1);
    house.run(3 * HZ - 1);
    assert_eq!(house.notes(), ["2 1 Delivered"], "the first was known before");
    // Who comes later is asked after as well.
    house.enter();
    house.run(2 * HZ);
    assert_eq!(sorted(house.notes()), ["3 1 Delivered", "4 1 Delivered", "4 2 Delivered"]);
}

/// Talks until somebody takes no more.
fn talks_on(play: &mut Play, ctx: &mut StepContext<'_>) {
    while let Some((player, message, outcome)) = ctx.poll_outcome() {
        if u64::from(play.told[0]) == message.0 {
            play.note(format!("{player} {outcome:?}"));
        }
    }
    let is_asleep = ctx.tick().0 > HZ && play.told[0] == 0;
    while is_asleep && play.told[0] == 0 {
        match ctx.send(Audience::Room, LINE, 0, Bytes::from_static(b"word")) {
            Ok(_) => play.told[1] += 1,
            Err(SendError::NotAll { id, missed, error }) => {
                play.told[0] = id.0 as u32;
                play.note(format!("{missed} missed it: {error}"));
            }
            // The other's is full as well: it is given time.
            Err(SendError::Full { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn who_takes_no_more_keeps_nobody_else_from_hearing() {
    let mut house = House::new(spoken(), talks_on, 2);
    house.run(HZ / 2);
    house.seats[0].is_asleep = true;
    house.run(10 * HZ);
    let notes = house.notes();
    let full = format!("1 missed it: {MESSAGES_QUEUED_MAX} messages with ");
    assert!(notes[0].starts_with(&full), "{}", notes[0]);
    assert_eq!(notes[1..], [format!("2 {:?}", Outcome::Delivered)]);
}
