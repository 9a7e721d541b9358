//! Tokens in hellos: the newest one in each, or none, and never one that a server could not read.

use std::sync::atomic::{AtomicUsize, Ordering};

use tickwire_client::{Backoff, Client, ClientConfig, DisconnectReason, Event, Reconnect, TokenProvider};
use tickwire_protocol::handshake::{StreamKind, Token};
use tickwire_protocol::limits::EXTENSION_BYTES_MAX;
use tickwire_protocol::{DecodeError, Micros};

use super::support::*;

/// Who comes back at once, with a token of so many letters for each connection; a guest for 0.
fn config(letters: &'static [usize]) -> ClientConfig {
    let asked = AtomicUsize::new(0);
    let tokens = TokenProvider::new(move || {
        let letters = letters[asked.fetch_add(1, Ordering::Relaxed)];
        Token::new("x".repeat(letters)).ok()
    });
    let backoff = Backoff::Listed([Micros::ZERO].into());
    let reconnect = Some(Reconnect { backoff, attempts: 9 });
    ClientConfig { reconnect, tokens: Some(tokens), ..ClientConfig::new("test 1") }
}

fn token_told(pair: &Pair) -> Option<usize> {
    let hello = pair.heard.hellos.last().expect("a hello");
    Token::find(&hello.extensions).unwrap().map(|token| token.as_str().len())
}

/// The connection is lost, and another says hello.
fn reconnect(pair: &mut Pair) {
    pair.client.handle_disconnect(pair.now, DisconnectReason::Lost);
    assert!(pair.client.poll_connect(pair.now));
    pair.hear();
}

#[test]
fn each_hello_has_the_token_of_its_moment() {
    let server = FakeServer::new(StreamKind::Ordered, 1_000);
    let welcome = server.welcome_value();
    let mut pair = Pair::with(server, config(&[3, 5, 0, 7]), &welcome);
    assert_eq!(token_told(&pair), Some(3));
    reconnect(&mut pair);
    assert_eq!(token_told(&pair), Some(5));
    reconnect(&mut pair);
    assert_eq!(token_told(&pair), None, "a guest");
    reconnect(&mut pair);
    assert_eq!(token_told(&pair), Some(7), "asked once for each hello");
}

#[test]
fn a_token_that_no_hello_takes_ends_the_attempt_with_words_for_it() {
    const LONGEST: usize = EXTENSION_BYTES_MAX - 3;
    for (config, is_taken) in [(config(&[LONGEST]), true), (config(&[LONGEST + 1]), false)] {
        let mut client = Client::new(config, schema().clone(), Micros::ZERO);
        let mut message = Vec::new();
        assert_eq!(client.poll_transmit(Micros::ZERO, &mut message), is_taken);
        assert_eq!(message.is_empty(), !is_taken, "not a byte of a hello that would be refused");
        let ends: Vec<_> = std::iter::from_fn(|| client.poll_event(Micros::ZERO)).collect();
        let (value, limit) = (EXTENSION_BYTES_MAX as u64 + 1, EXTENSION_BYTES_MAX as u64);
        let fault = DecodeError::TooLarge { what: "extension", value, limit };
        let told = Event::Disconnected(DisconnectReason::InvalidHello(fault));
        assert_eq!(ends, if is_taken { vec![] } else { vec![told] });
    }
}
