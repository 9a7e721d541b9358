//! What players do to each other by being in the same place.

use glam::{Vec2, Vec3, Vec3Swizzles};

use super::level::Level;
use super::movement::SPEED_MAX;
use super::state::Player;
use super::{HEIGHT, RADIUS};

/// How often overlaps are looked at in a tick: pushing one apart may push another together.
const PASSES: usize = 4;
/// Pairs this close may come to touch while others are pushed apart, metres.
const MARGIN: f32 = 0.2;
/// The share of the speed of an impact that is given back.
const BOUNCE: f32 = 0.2;

/// Two players that ran into each other in this tick, as places in the list of players.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Impact {
    /// Who ran more.
    pub(super) runner: usize,
    /// Into whom.
    pub(super) other: usize,
    /// How fast they came together, m/s.
    pub(super) speed: f32,
}

/// Finds and resolves contacts; keeps its memory from tick to tick, and nothing else.
#[derive(Clone, Debug, Default)]
pub(super) struct Contacts {
    /// Places of players by x: who is too far along x is too far. From tick to tick little changes in it.
    by_x: Vec<(f32, u32)>,
    /// Places of players that are close to each other.
    pairs: Vec<(u32, u32)>,
    impacts: Vec<Impact>,
    /// Where players were, and how they moved, before.
    before: Vec<(Vec3, Vec3)>,
}

impl Contacts {
    /// Takes players out of each other and gives impacts back to both, in an order that follows from the players'
    /// places and ids alone. Whom that moves is marked as disturbed.
    pub(super) fn resolve(&mut self, players: &mut [Player], level: &Level) -> &[Impact] {
        self.find_pairs(players);
        self.impacts.clear();
        self.before.clear();
        self.before.extend(players.iter().map(|player| (player.position, player.velocity)));
        for &(a, b) in &self.pairs {
            self.impacts.extend(collide(players, a as usize, b as usize));
        }
        for _ in 0..PASSES {
            for &(a, b) in &self.pairs {
                push_apart(players, a as usize, b as usize);
            }
            for &(a, b) in &self.pairs {
                for place in [a, b] {
                    let Player { position, velocity, .. } = &mut players[place as usize];
                    level.collide(position.y, position, velocity);
                }
            }
        }
        for (player, before) in players.iter_mut().zip(&self.before) {
            player.is_disturbed |= (player.position, player.velocity) != *before;
        }
        &self.impacts
    }

    fn find_pairs(&mut self, players: &[Player]) {
        if self.by_x.len() != players.len() {
            self.by_x.clear();
            self.by_x.extend((0..players.len() as u32).map(|place| (0.0, place)));
        }
        for (x, place) in &mut self.by_x {
            *x = players[*place as usize].position.x;
        }
        sort_nearly_sorted(&mut self.by_x);
        self.pairs.clear();
        let reach = 2.0 * RADIUS + MARGIN;
        for (index, &(x, a)) in self.by_x.iter().enumerate() {
            for &(_, b) in self.by_x[index + 1..].iter().take_while(|(other, _)| other - x < reach) {
                let (one, other) = (players[a as usize].position, players[b as usize].position);
                if (one.z - other.z).abs() < reach && (one.y - other.y).abs() < HEIGHT {
                    self.pairs.push((a, b));
                }
            }
        }
    }
}

/// How many others each goes past on the average before it is no longer said to be nearly sorted.
const NEARLY_SORTED_MOVES: usize = 8;

/// Sorts what is nearly sorted; what is not takes longer, as it does anyway.
fn sort_nearly_sorted(by_x: &mut [(f32, u32)]) {
    let order = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    let mut moves_left = NEARLY_SORTED_MOVES * by_x.len();
    for index in 1..by_x.len() {
        let (moved, mut place) = (by_x[index], index);
        while place > 0 && order(&by_x[place - 1], &moved).is_gt() {
            by_x[place] = by_x[place - 1];
            place -= 1;
        }
        by_x[place] = moved;
        moves_left = moves_left.saturating_sub(index - place);
        if moves_left == 0 {
            return by_x.sort_unstable_by(order);
        }
    }
}

/// Which way `a` is from `b` and how deep they are in each other; nothing if they are not.
fn overlap(a: &Player, b: &Player) -> Option<(Vec2, f32)> {
    let apart = a.position.xz() - b.position.xz();
    let distance_squared = apart.length_squared();
    if distance_squared >= 4.0 * RADIUS * RADIUS {
        return None;
    }
    let distance = distance_squared.sqrt();
    // Two in exactly the same place: any way will do, as long as it is always the same.
    let away = if distance > 0.0 { apart / distance } else { Vec2::NEG_X };
    Some((away, 2.0 * RADIUS - distance))
}

fn push_apart(players: &mut [Player], a: usize, b: usize) {
    if let Some((away, depth)) = overlap(&players[a], &players[b]) {
        for (place, way) in [(a, away), (b, -away)] {
            players[place].position.x += way.x * depth * 0.5;
            players[place].position.z += way.y * depth * 0.5;
        }
    }
}

/// Equal masses meet: each gets half of what stops them, and of what bounces.
fn collide(players: &mut [Player], a: usize, b: usize) -> Option<Impact> {
    let (away, _) = overlap(&players[a], &players[b])?;
    let towards = [-players[a].velocity.xz().dot(away), players[b].velocity.xz().dot(away)];
    let speed = towards[0] + towards[1];
    if speed <= 0.0 {
        return None;
    }
    let change = away * speed * (1.0 + BOUNCE) * 0.5;
    for (place, change) in [(a, change), (b, -change)] {
        let velocity = (players[place].velocity.xz() + change).clamp_length_max(SPEED_MAX);
        players[place].velocity.x = velocity.x;
        players[place].velocity.z = velocity.y;
    }
    let (runner, other) = if towards[0] >= towards[1] { (a, b) } else { (b, a) };
    Some(Impact { runner, other, speed })
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::{EntityId, PlayerId};

    use super::*;

    fn players(at: &[(Vec3, Vec3)]) -> Vec<Player> {
        let player = |(slot, &(position, velocity)): (usize, &(Vec3, Vec3))| {
            let id = EntityId { slot: slot as u16, generation: 1 };
            Player { velocity, ..Player::new(id, PlayerId(slot as u32), position) }
        };
        at.iter().enumerate().map(player).collect()
    }

    #[test]
    fn who_runs_into_one_who_stands_gives_half_of_it_away() {
        let mut players = players(&[(Vec3::ZERO, Vec3::ZERO), (Vec3::X * 0.7, Vec3::new(-8.0, 0.0, 1.0))]);
        let mut contacts = Contacts::default();
        let impacts = contacts.resolve(&mut players, &Level::new(40, Vec::new()));
        assert_eq!(impacts, [Impact { runner: 1, other: 0, speed: 8.0 }]);
        assert!((players[0].velocity - Vec3::new(-4.8, 0.0, 0.0)).length() < 1e-5, "{}", players[0].velocity);
        assert!((players[1].velocity - Vec3::new(-3.2, 0.0, 1.0)).length() < 1e-5, "{}", players[1].velocity);
        assert!((players[1].position.x - players[0].position.x - 0.8).abs() < 1e-5);
        assert_eq!(contacts.resolve(&mut players, &Level::new(40, Vec::new())), [], "they part");
    }

    #[test]
    fn whatever_the_order_before_it_is_sorted_after() {
        let mut random = crate::random::Random::from_seed(5);
        for count in [0, 1, 2, 20, 300] {
            for reach in [0.0, 0.5, 1000.0] {
                let mut by_x: Vec<_> =
                    (0..count).map(|n| (n as f32 + random.range_f32(-reach - 0.1..reach + 0.1), n)).collect();
                // Two in exactly the same place go by their own.
                by_x.iter_mut().step_by(7).for_each(|(x, _)| *x = 3.0);
                let mut expected = by_x.clone();
                expected.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                sort_nearly_sorted(&mut by_x);
                assert_eq!(by_x, expected, "{count} {reach}");
            }
        }
    }

    #[test]
    fn who_is_above_does_not_touch() {
        let mut players = players(&[(Vec3::ZERO, Vec3::ZERO), (Vec3::new(0.1, 1.8, 0.0), Vec3::NEG_Y)]);
        Contacts::default().resolve(&mut players, &Level::new(40, Vec::new()));
        assert_eq!(players[0].position, Vec3::ZERO);
    }

    #[test]
    fn a_heap_comes_apart_within_the_walls() {
        let mut players = players(&[(Vec3::new(9.6, 0.0, 9.6), Vec3::ZERO); 12]);
        let level = Level::new(20, Vec::new());
        let mut contacts = Contacts::default();
        for _ in 0..60 {
            contacts.resolve(&mut players, &level);
        }
        for (index, a) in players.iter().enumerate() {
            assert!(level.is_free(a.position), "{}", a.position);
            for b in &players[index + 1..] {
                assert!((a.position - b.position).length() > 0.75, "{} {}", a.position, b.position);
            }
        }
    }
}
