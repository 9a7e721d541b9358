//! What a client says, asks and offers.

use tickwire_protocol::Micros;
use tickwire_protocol::room::Profile;

use super::super::game::{ASK, BRIEF, Line, MOMENT, NEWEST, TALK, ramble};
use super::super::hauls::{LOAD, content, metadata};
use super::super::memory::Said;
use super::super::report::ChaosReport;
use super::super::tag::Tag;
use super::Seat;

impl Seat {
    /// With each picture as much as chance wants.
    pub(super) fn say(&mut self, now: Micros, report: &mut ChaosReport) {
        self.talk(now, report);
        if self.random.below(20) == 0 {
            self.mutter(now);
        }
        if self.random.below(30) == 0
            && let Ok(sending) = self.client.send(now, NEWEST, 7, self.line(self.newest_said + 1))
        {
            self.newest_said += 1;
            self.memory.waiting.insert(sending.id, Said::Newest(self.newest_said));
        }
        self.ask(now);
        if self.random.below(600) == 0 {
            self.offer(now);
        }
    }

    fn line(&self, number: u32) -> Vec<u8> {
        Line { number, forgotten: self.hole.clone() }.body()
    }

    fn talk(&mut self, now: Micros, report: &mut ChaosReport) {
        let burst = match self.random.below(1_500) {
            0 => 1_100,
            1..=150 => 1 + self.random.below(4),
            _ => 0,
        };
        for _ in 0..burst {
            let line = self.line(self.said);
            let body = ramble(&mut self.random, line);
            match self.client.send(now, TALK, 0, body) {
                Ok(sending) => {
                    self.memory.waiting.insert(sending.id, Said::Talk(self.said));
                    self.said += 1;
                }
                Err(_) => report.refused += 1,
            }
        }
    }

    /// What is not worth to be said later, or twice.
    fn mutter(&mut self, now: Micros) {
        let number = self.briefs + 1;
        if let Ok(sending) = self.client.send(now, BRIEF, 0, self.line(number)) {
            self.briefs = number;
            self.memory.waiting.insert(sending.id, Said::Brief(number));
        }
        self.moments += 1;
        // One that is refused is one that is missing.
        let _ = self.client.send(now, MOMENT, 0, self.line(self.moments));
    }

    fn ask(&mut self, now: Micros) {
        if self.random.below(40) == 0 {
            let timeout = Micros::from_millis([60, 1_000, 4_000][self.random.below(3) as usize]);
            let tag = Tag::new(self.who, self.questions);
            self.questions += 1;
            if let Ok(id) = self.client.request(now, ASK, &tag.body(), timeout) {
                self.asked.note(id, tag);
            }
        }
        if self.random.below(400) == 0
            && let Some(id) = self.asked.take_back(&mut self.random)
        {
            self.client.cancel_request(now, id);
        }
    }

    fn offer(&mut self, now: Micros) {
        let tag = Tag::new(self.who, self.loads);
        let content = content(tag);
        if let Ok(id) = self.client.offer_bulk(now, LOAD, metadata(tag, &content), content) {
            self.loads += 1;
            self.hauls.note((), id, tag);
        }
    }

    /// Calls itself otherwise from now on.
    pub(super) fn rename(&mut self) {
        let name = self.random.below(1_000).to_string();
        if let Ok(profile) = Profile::new(name, vec![7; self.random.below(100) as usize]) {
            self.config.profile = profile.clone();
            self.client.set_profile(profile);
        }
    }
}
