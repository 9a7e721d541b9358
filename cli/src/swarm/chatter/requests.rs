//! What bots ask for, and whether they were answered: once each, and with what is right.
//!
//! A question goes to another player's client and its answer comes back, so it takes a request each way. Teams are changed by
//! requests as well, which the game answers itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use tickwire_client::{Client, REQUEST_TIMEOUT};
use tickwire_protocol::message::{MessageTypeId, Request, RequestError, RequestId, Response};
use tickwire_protocol::{Micros, PlayerId};
use tickwire_sim::arena::{ASK, addressed, read_addressed};

use super::Wrongs;

/// What a bot has asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    /// The question of this number.
    Question(u32),
    /// To be in this team.
    Team(u32),
}

/// One bot's requests, and those that it is asked.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: BTreeMap<RequestId, Asked>,
    questions: u32,
    answered: u64,
    timed_out: u64,
    refused: u64,
    /// The newest question of each who has asked this bot.
    heard: BTreeMap<PlayerId, u32>,
    wrongs: Wrongs,
}

impl Requests {
    /// Requests that were answered.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    pub(super) fn timed_out(&self) -> u64 {
        self.timed_out
    }

    /// Those that have no answer, for whatever reason.
    pub(super) fn lost(&self) -> u64 {
        self.timed_out + self.refused + self.open.len() as u64
    }

    pub(super) fn wrongs(&self) -> Wrongs {
        self.wrongs
    }

    /// Whether a change of teams has not been answered.
    pub(super) fn is_changing_team(&self) -> bool {
        self.open.values().any(|asked| matches!(asked, Asked::Team(_)))
    }

    /// Asks another player something; whether the client takes it.
    pub(super) fn ask(&mut self, now: Micros, client: &mut Client, whom: PlayerId) -> bool {
        let number = self.questions + 1;
        let body = addressed(whom, question(number).as_bytes());
        let is_taken = self.request(now, client, ASK, &body, Asked::Question(number));
        self.questions += u32::from(is_taken);
        is_taken
    }

    pub(super) fn request(
        &mut self,
        now: Micros,
        client: &mut Client,
        ty: MessageTypeId,
        body: &[u8],
        asked: Asked,
    ) -> bool {
        let id = client.request(now, ty, body, REQUEST_TIMEOUT);
        if let Ok(id) = id {
            self.open.insert(id, asked);
        }
        id.is_ok()
    }

    /// Answers what another player asks; whether the client takes it.
    pub(super) fn answer(&mut self, now: Micros, client: &mut Client, request: &Request) -> bool {
        client.respond(now, request.id, Ok(self.hear(request))).is_ok()
    }

    /// The answer to a question.
    fn hear(&mut self, request: &Request) -> Bytes {
        let asked = read_addressed(request.body.clone()).filter(|_| request.ty == ASK);
        let Some((from, text)) = asked else {
            self.wrongs.garbled += 1;
            return Bytes::new();
        };
        match number(&text) {
            // Of each the next, though not each of them: most go to others.
            Some(number) => {
                let newest = self.heard.entry(from).or_default();
                self.wrongs.doubled += u64::from(number == *newest);
                self.wrongs.reordered += u64::from(number < *newest);
                *newest = number.max(*newest);
            }
            None => self.wrongs.garbled += 1,
        }
        answer(&text)
    }

    /// What came of a request: an answer, if it is one that somebody else has to read.
    pub(super) fn handle_response(&mut self, id: RequestId, response: &Response) -> Option<(Asked, Bytes)> {
        let Some(asked) = self.open.remove(&id) else {
            self.wrongs.doubled += 1;
            return None;
        };
        let body = match response {
            Ok(body) => body,
            Err(error) => {
                self.timed_out += u64::from(*error == RequestError::Timeout);
                self.refused += u64::from(*error != RequestError::Timeout);
                return None;
            }
        };
        self.answered += 1;
        if let Asked::Question(number) = asked {
            self.wrongs.garbled += u64::from(*body != answer(question(number).as_bytes()));
        }
        Some((asked, body.clone()))
    }
}

fn question(number: u32) -> String {
    format!("{number} where are you?")
}

/// Which question it is; nothing if no bot asks this.
fn number(text: &[u8]) -> Option<u32> {
    let text = str::from_utf8(text).ok()?;
    let number = text.split_once(' ')?.0.parse().ok()?;
    (text == question(number)).then_some(number)
}

/// The question backwards: nobody says that by mistake.
fn answer(question: &[u8]) -> Bytes {
    question.iter().rev().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(numbers: &[u32]) -> Wrongs {
        let mut requests = Requests::default();
        for number in numbers {
            let body = addressed(PlayerId(3), question(*number).as_bytes());
            let answered = requests.hear(&Request { id: RequestId(*number), ty: ASK, body });
            assert_eq!(answered, answer(question(*number).as_bytes()));
        }
        requests.wrongs()
    }

    #[test]
    fn questions_come_once_and_in_order() {
        assert_eq!(asks(&[1, 2, 5]), Wrongs::default());
        assert_eq!(asks(&[1, 2, 2]), Wrongs { doubled: 1, ..Wrongs::default() });
        assert_eq!(asks(&[1, 3, 2]), Wrongs { reordered: 1, ..Wrongs::default() });
        let mut requests = Requests::default();
        let body = addressed(PlayerId(3), b"1 who are you?");
        requests.hear(&Request { id: RequestId(1), ty: ASK, body });
        assert_eq!(requests.wrongs().garbled, 1);
    }

    #[test]
    fn each_request_is_answered_once_and_rightly() {
        let open = (1..=4).map(|number| (RequestId(number), Asked::Question(number))).collect();
        let mut requests = Requests { open, ..Requests::default() };
        let right = |number| Ok(answer(question(number).as_bytes()));
        assert!(requests.handle_response(RequestId(1), &right(1)).is_some());
        assert_eq!((requests.answered(), requests.lost(), requests.wrongs()), (1, 3, Wrongs::default()));
        requests.handle_response(RequestId(1), &right(1));
        assert_eq!((requests.answered(), requests.wrongs().doubled), (1, 1));
        requests.handle_response(RequestId(2), &right(1));
        assert_eq!(requests.wrongs().garbled, 1);
        requests.handle_response(RequestId(3), &Err(RequestError::Timeout));
        assert_eq!((requests.timed_out(), requests.lost()), (1, 2), "one is open still");
    }
}
