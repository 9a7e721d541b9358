//! One client that lies about what it sees, among others that do not.
//!
//! What a client tells of its view decides where its shots are judged. The liar plays as all bots do, but when it shoots, its
//! messages say that it saw another moment.

use bytes::Bytes;
use tickwire_client::Client;
use tickwire_protocol::frame::{FrameType, frames, write_frame_with};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::{Micros, Tick, TickTime};
use tickwire_sim::Random;
use tickwire_sim::arena::{Level, PLAYER, Ray, player, schema, trace_shot};

use crate::config::TICK_HZ;
use crate::figures::Figures;

/// How far from the truth it goes, ticks: 400 ms.
const LIE_TICKS: f32 = 24.0;
/// In which steps it looks for a moment that suits it, ticks.
const LIE_STEP: f32 = 0.25;

/// What a liar tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lie {
    /// With every input, any moment up to 400 ms away from the true one.
    Random,
    /// With every shot, any moment up to 400 ms before the true one; otherwise the truth, to be believed.
    Earlier,
    /// With a shot that would miss, the nearest moment within 400 ms at which it would have hit; otherwise the truth.
    Rescue,
    /// The same, but between its shots it says what nobody can have seen, so that nothing of what it did tell is held against it.
    Silent,
}

/// Hits of the liar, and of all others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Duel {
    /// Of the liar.
    pub liar: Hits,
    /// Of those who tell the truth.
    pub honest: Hits,
}

/// Shots, and how many of them hit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hits {
    /// Fired.
    pub shots: u64,
    /// Hit somebody.
    pub hits: u64,
}

impl Hits {
    pub(crate) fn add(&mut self, figures: &Figures) {
        self.shots += figures.shots;
        self.hits += figures.shots_hit;
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: Self) {
        self.shots += other.shots;
        self.hits += other.hits;
    }

    /// Share of the shots that hit.
    pub fn ratio(&self) -> f64 {
        self.hits as f64 / self.shots.max(1) as f64
    }

    /// Standard error of that.
    pub fn standard_error(&self) -> f64 {
        let ratio = self.ratio();
        (ratio * (1.0 - ratio) / self.shots.max(1) as f64).sqrt()
    }
}

impl Duel {
    /// By how many standard errors the liar hits more often than the honest ones do: of the difference of two shares that are
    /// the same in truth.
    pub fn advantage(&self) -> f64 {
        let mut all = self.liar;
        all.merge(self.honest);
        let variance = all.ratio() * (1.0 - all.ratio());
        let [liar, honest] = [self.liar, self.honest].map(|hits| variance / hits.shots.max(1) as f64);
        let error = (liar + honest).sqrt();
        (self.liar.ratio() - self.honest.ratio()) / error.max(f64::MIN_POSITIVE)
    }
}

/// What a liar has in mind.
#[derive(Clone, Debug)]
pub(crate) struct Liar {
    lie: Lie,
    random: Random,
    /// The input that it lies about, and by how much, ticks: later is above 0.
    shot: Option<(Tick, f32)>,
    frame: InputFrame,
}

impl Liar {
    pub(crate) fn new(lie: Lie, seed: u64) -> Self {
        let random = Random::from_seed(seed ^ 0x11a2);
        Self { lie, random, shot: None, frame: InputFrame::new() }
    }

    /// It shoots along `ray` with the input of `tick`, while the view at `shown` is before its eyes.
    pub(crate) fn handle_shot(
        &mut self,
        tick: Tick,
        ray: Ray,
        client: &Client,
        shown: Micros,
        level: &Level,
    ) {
        let by = match self.lie {
            Lie::Random => return,
            Lie::Earlier => Some(-self.any().abs()),
            Lie::Rescue => nearest_hit(&ray, client, shown, level),
            Lie::Silent => Some(nearest_hit(&ray, client, shown, level).unwrap_or(0.0)),
        };
        self.shot = by.map(|by| (tick, by));
    }

    fn any(&mut self) -> f32 {
        self.random.range_f32(-LIE_TICKS..LIE_TICKS)
    }

    /// Puts the lie into a message.
    pub(crate) fn tamper(&mut self, message: &mut Vec<u8>) {
        let original = Bytes::copy_from_slice(message);
        message.clear();
        for frame in frames(original).flatten() {
            let kind = schema().input();
            // Whole ticks do not matter here: they go out as they came in.
            if frame.ty != FrameType::Input || self.frame.decode(&frame.payload, kind, Tick(0)).is_err() {
                write_frame_with(message, frame.ty, |out| out.extend_from_slice(&frame.payload));
                continue;
            }
            let by = match (self.lie, self.shot) {
                (Lie::Random, _) => Some(self.any()),
                // Until its first shot it makes itself believed.
                (_, None) => None,
                (_, Some((tick, by))) if self.frame.newest().is_some_and(|newest| is_same(newest, tick)) => {
                    Some(by)
                }
                // Later than anything that it was sent.
                (Lie::Silent, _) => Some(LIE_TICKS),
                _ => None,
            };
            if let Some(by) = by {
                self.frame.view = moved(self.frame.view, by);
            }
            self.frame.encode(kind, message);
        }
    }
}

/// Whether a tick that was decoded by itself may be this one.
fn is_same(decoded: Tick, tick: Tick) -> bool {
    decoded.0 as u16 == tick.0 as u16
}

/// The least lie that makes a shot hit somebody, if the truth does not.
fn nearest_hit(ray: &Ray, client: &Client, shown: Micros, level: &Level) -> Option<f32> {
    let steps = (0..=(LIE_TICKS / LIE_STEP) as i32).flat_map(|step| [-step, step]);
    let hits = |by: f32| {
        let micros = i64::from((by * 1e6 / TICK_HZ as f32) as i32);
        let view = client.view_at(Micros(shown.0.saturating_add_signed(micros)));
        let others = view.entities(PLAYER).filter(|entity| !entity.is_own());
        let bodies = others.map(|entity| (entity.id(), entity.vec3(player::POSITION)));
        trace_shot(level, ray, bodies).target.is_some()
    };
    let by = steps.map(|step| step as f32 * LIE_STEP).find(|&by| hits(by))?;
    (by.abs() >= LIE_STEP).then_some(by)
}

/// A moment so many ticks later.
fn moved(view: TickTime, by: f32) -> TickTime {
    let fraction = view.fraction + by;
    let whole = fraction.floor();
    let tick = Tick(view.tick.0.wrapping_add_signed(whole as i32));
    TickTime { tick, fraction: (fraction - whole).min(1.0 - f32::EPSILON) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_move_the_view_and_nothing_else() {
        let kind = schema().input();
        let mut frame = InputFrame::new();
        frame.push(kind, Tick(70), &[1, 2, 3, 4, 0, 1, 1]);
        frame.view = TickTime { tick: Tick(60), fraction: 0.25 };
        let mut message = Vec::new();
        frame.encode(kind, &mut message);
        let (honest, mut liar) = (message.clone(), Liar::new(Lie::Earlier, 1));
        liar.tamper(&mut message);
        assert_eq!(message, honest, "no shot, no lie");
        liar.shot = Some((Tick(70), -1.5));
        liar.tamper(&mut message);
        let payload = frames(Bytes::from(message)).next().unwrap().unwrap().payload;
        let mut told = InputFrame::new();
        told.decode(&payload, kind, Tick(70)).unwrap();
        assert_eq!(told.view, TickTime { tick: Tick(58), fraction: 0.75 });
        told.view = frame.view;
        assert_eq!(told, frame);
    }

    #[test]
    fn the_silent_tell_the_truth_until_they_shoot_and_then_what_nobody_saw() {
        let kind = schema().input();
        let mut liar = Liar::new(Lie::Silent, 1);
        let told = |liar: &mut Liar, tick| {
            let mut frame = InputFrame::new();
            frame.push(kind, Tick(tick), &[1, 2, 3, 4, 0, 1, 1]);
            frame.view = TickTime { tick: Tick(60), fraction: 0.5 };
            let mut message = Vec::new();
            frame.encode(kind, &mut message);
            liar.tamper(&mut message);
            let payload = frames(Bytes::from(message)).next().unwrap().unwrap().payload;
            frame.decode(&payload, kind, Tick(tick)).unwrap();
            frame.view.tick.0
        };
        assert_eq!(told(&mut liar, 69), 60);
        liar.shot = Some((Tick(70), -1.5));
        assert_eq!([70, 71, 72].map(|tick| told(&mut liar, tick)), [59, 84, 84]);
    }
}
