//! Rooms with a prior of their own: whoever lacks it is sent it.

mod common;

use common::{Honest, arena, hello, start};
use tickwire_protocol::TickRate;
use tickwire_protocol::handshake::Hello;
use tickwire_protocol::snapshot::{Coder, Prior};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::ServerConfig;

#[tokio::test]
async fn whoever_lacks_the_rooms_prior_is_sent_it() {
    let schema = tickwire_sim::arena::schema();
    let mut room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    (room.prior, room.coder) = (Prior::untrained(), Coder::Fast);
    let server = start(ServerConfig::new(([127, 0, 0, 1], 0).into(), room), arena()).await;
    let mut lacking = Honest::join(server.addr, schema, &hello(schema)).await;
    let (own, default) = (Prior::untrained(), Prior::default_prior());
    assert_eq!((lacking.welcome.prior_hash, lacking.welcome.coder), (own.hash(), Coder::Fast.wire()));
    assert_eq!(lacking.welcome.prior.as_deref(), Some(own.encoded()));
    lacking.play_until(|honest| honest.digests >= 2).await;
    let knowing = Hello { priors: vec![default.hash(), own.hash()], ..hello(schema) };
    let knowing = Honest::join(server.addr, schema, &knowing).await;
    assert_eq!((knowing.welcome.prior_hash, &knowing.welcome.prior), (own.hash(), &None));
}

#[tokio::test]
async fn the_default_prior_is_known() {
    let schema = tickwire_sim::arena::schema();
    let room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    let server = start(ServerConfig::new(([127, 0, 0, 1], 0).into(), room), arena()).await;
    let mut usual = Honest::join(server.addr, schema, &hello(schema)).await;
    let prior = Prior::default_prior();
    assert_eq!((usual.welcome.prior_hash, &usual.welcome.prior), (prior.hash(), &None));
    usual.play_until(|honest| honest.digests >= 2).await;
    let nothing = Hello { priors: Vec::new(), ..hello(schema) };
    let another_version = Honest::join(server.addr, schema, &nothing).await;
    assert_eq!(another_version.welcome.prior.as_deref(), Some(prior.encoded()));
}
