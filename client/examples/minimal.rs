//! The smallest whole client: connects, walks in a circle, prints who is where.
//!
//! ```text
//! cargo run --release -- serve
//! cargo run --release -p tickwire-client --example minimal -- ws://127.0.0.1:7777 --seconds 5
//! ```

use std::error::Error;
use std::process::ExitCode;

use tickwire_client::net::{self, Connection, Wake};
use tickwire_client::protocol::Micros;
use tickwire_client::{ClientConfig, Event};
use tickwire_sim::arena::{Arena, LEVEL_EXTENSION, Level, PLAYER, input, player, schema};

/// How often to print.
const PRINT_INTERVAL: Micros = Micros::from_millis(250);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match play().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn play() -> Result<(), Box<dyn Error>> {
    let (url, seconds) = arguments()?;
    let mut connection = net::connect(&url, ClientConfig::new("minimal 1.0"), schema().clone()).await?;
    predict(&mut connection);
    let mut next_print = connection.now();
    while let Some(wake) = connection.next().await {
        match wake {
            Wake::Input(tick) => connection.push_input(tick, |row| {
                // Straight ahead, turning all the time.
                row.set_vec2(input::MOVE, glam::Vec2::Y).set_angle(input::YAW, tick.0 as f32 * 0.02);
            }),
            Wake::Event(Event::Cue(cue)) => println!("cue: {}", schema().cue(cue.id).name()),
            Wake::Event(event) => println!("{event:?}"),
            Wake::Snapshot => {}
        }
        let now = connection.now();
        if now >= next_print {
            print(&connection, now);
            next_print = now + PRINT_INTERVAL;
        }
        if now >= Micros::from_secs(seconds) {
            connection.close().await;
            break;
        }
    }
    Ok(())
}

/// Predicts the own player with the game itself, on the level that the server says it plays on.
fn predict(connection: &mut Connection) {
    let welcome = connection.client().welcome();
    let mut told = welcome.into_iter().flat_map(|welcome| &welcome.extensions);
    let level = told.find(|extension| extension.id == LEVEL_EXTENSION);
    if let Some(level) = level.and_then(|extension| Level::told(&extension.value)) {
        connection.client_mut().predict(Box::new(Arena::new(level)));
    }
}

/// Me, ahead of the server; the others as they are to be drawn now.
fn print(connection: &Connection, now: Micros) {
    let client = connection.client();
    for me in client.predicted(now).entities(PLAYER) {
        println!("me         {:6.2}  stamina {:.0}", me.vec3(player::POSITION), me.scalar(player::STAMINA));
    }
    let view = client.view(now);
    for other in view.entities(PLAYER).filter(|entity| !entity.is_own()) {
        let (position, yaw) = (other.vec3(player::POSITION), other.angle(player::YAW));
        println!("{:10} {position:6.2}  yaw {yaw:5.2}", other.id().to_string());
    }
}

/// The server's address, and for how many seconds to stay.
fn arguments() -> Result<(String, u64), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut url, mut seconds) = ("ws://127.0.0.1:7777".to_owned(), 10);
    while let Some(argument) = arguments.next() {
        if argument == "--seconds" {
            seconds = arguments.next().ok_or("--seconds wants a number")?.parse()?;
        } else {
            url = argument;
        }
    }
    Ok((url, seconds))
}
