//! Over sockets that are cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tickwire_client::net::{Connection, Wake, connect};
use tickwire_client::{Backoff, ClientConfig, Event, Reconnect};
use tickwire_protocol::bulk::BulkEvent;
use tickwire_protocol::handshake::SessionOutcome;
use tickwire_protocol::{Micros, TickRate};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::{Game, Server, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::depot::{Depot, Desk, schema};

/// A way to the server that can be cut.
async fn cable(server: SocketAddr) -> (SocketAddr, watch::Sender<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (cuts, cut) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut cut = cut.clone();
            cut.mark_unchanged();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cut.changed() => {}
                }
            });
        }
    });
    (addr, cuts)
}

async fn next_event(connection: &mut Connection) -> Event {
    loop {
        match connection.next().await.expect("the client comes back") {
            Wake::Event(event) => return event,
            Wake::Input(tick) => connection.push_input(tick, |_| {}),
            Wake::Snapshot => {}
        }
    }
}

#[tokio::test]
async fn a_map_down_and_a_replay_up_go_on_where_the_socket_was_cut() {
    let desk = Arc::new(Mutex::new(Desk { accepts: true, ..Desk::default() }));
    let games = desk.clone();
    let config = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), config);
    let game = Game::new(schema(), move |_| Box::new(Depot::new(20, games.clone())));
    let server = Server::bind(config, game).await.unwrap();
    let server_addr = server.local_addr().unwrap();
    tokio::spawn(server.run());
    let (addr, cuts) = cable(server_addr).await;
    let policy = Reconnect { backoff: Backoff::Listed([Micros::from_millis(20)].into()), attempts: 10 };
    let config = ClientConfig { reconnect: Some(policy), ..ClientConfig::new("test") };
    let mut connection = connect(&format!("ws://{addr}"), config, schema()).await.unwrap();
    let map = Bytes::from(
        (0..1_500_000_u32).map(|place| (place.wrapping_mul(place) >> 7) as u8).collect::<Vec<_>>(),
    );
    let replay = map.slice(..700_000);
    desk.lock().unwrap().to_offer = Some(map.clone());
    let now = connection.now();
    let mine = connection.client_mut().offer_bulk(now, 9, Bytes::new(), replay.clone()).unwrap();
    let (mut received, mut is_sent, mut resumed, mut done) = (None, false, 0, 0);
    let playing = async {
        while received.is_none() || !is_sent {
            match next_event(&mut connection).await {
                Event::Bulk(BulkEvent::Offered { id, .. }) => {
                    connection.client_mut().accept_bulk(id).unwrap();
                }
                Event::Bulk(BulkEvent::Receiving { bytes, .. }) => {
                    assert!(bytes > done, "it goes on");
                    done = bytes;
                    if bytes > 300_000 * (resumed + 1) {
                        cuts.send_modify(|cuts| *cuts += 1);
                    }
                }
                Event::Bulk(BulkEvent::Received { content, .. }) => received = Some(content),
                Event::Bulk(BulkEvent::Sent { id }) => is_sent = id == mine,
                Event::Connected { outcome: SessionOutcome::Resumed, .. } => resumed += 1,
                Event::Bulk(BulkEvent::NotSent { why, .. } | BulkEvent::NotReceived { why, .. }) => {
                    panic!("{why}")
                }
                Event::Disconnected(reason) => panic!("{reason}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), playing).await.expect("both arrive");
    assert!(received == Some(map) && resumed >= 3, "{resumed} cuts");
    let told = &desk.lock().unwrap().told;
    let is_replay =
        |event: &BulkEvent| matches!(event, BulkEvent::Received { content, .. } if *content == replay);
    assert!(told.iter().any(|(_, event)| is_replay(event)));
}
