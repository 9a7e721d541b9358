//! How many input frames a peer may send, over any time.

use tickwire_protocol::Misbehavior;
use tickwire_protocol::limits::FRAMES_PER_TICK_MAX;

/// Half input frames that a step allows: one and a half of them. An honest client sends one a step at most, and a little more while its
/// clock catches up.
const HALVES_PER_STEP: u32 = 3;

/// What is allowed at once: what a link held back.
const HALVES_MAX: u32 = FRAMES_PER_TICK_MAX * 2;

/// A bucket that steps fill and input frames empty.
#[derive(Debug)]
pub(crate) struct InputRate {
    halves: u32,
}

impl Default for InputRate {
    fn default() -> Self {
        Self { halves: HALVES_MAX }
    }
}

impl InputRate {
    /// A step was made.
    pub(crate) fn handle_step(&mut self) {
        self.halves = (self.halves + HALVES_PER_STEP).min(HALVES_MAX);
    }

    /// A frame has come.
    pub(crate) fn take(&mut self) -> Result<(), Misbehavior> {
        self.halves = self.halves.checked_sub(2).ok_or(Misbehavior::TooManyInputs)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many steps it is too much to send so many frames in each of them.
    fn steps_with(frames: u32) -> Option<u32> {
        let mut rate = InputRate::default();
        (0..10_000).find(|_| {
            rate.handle_step();
            (0..frames).any(|_| rate.take().is_err())
        })
    }

    #[test]
    fn a_frame_a_step_is_allowed_for_ever_and_two_are_not() {
        assert_eq!(steps_with(1), None);
        assert_eq!(steps_with(2), Some(957), "half a frame a step too many, and 480 at once");
        assert_eq!(steps_with(480), Some(1));
    }

    #[test]
    fn what_a_link_held_back_may_come_at_once() {
        let mut rate = InputRate::default();
        for _ in 0..10 {
            (0..960).for_each(|_| rate.handle_step());
            assert!((0..480).all(|_| rate.take().is_ok()));
        }
        assert_eq!(rate.take(), Err(Misbehavior::TooManyInputs));
    }
}
