//! What a client shows: a game would draw and play sounds, this one prints.

use std::collections::BTreeMap;

use tickwire_client::{Client, EntityView, Event};
use tickwire_sim::prelude::*;

use crate::schema::{DRONE, FIRED, HIT, TANK, cue, drone, tank};

/// What the game keeps of the entities that it shows: models and sounds, here just their names.
#[derive(Default)]
pub(crate) struct Screen {
    names: BTreeMap<EntityId, String>,
}

impl Screen {
    /// Takes in everything that the picture at `now` brings.
    pub(crate) fn tell(&mut self, client: &mut Client, now: Micros) {
        while let Some(event) = client.poll_event(now) {
            match event {
                Event::Entered { id, .. } => {
                    let name = client.view(now).find(id).map(name).unwrap_or_default();
                    println!("        + {name}");
                    self.names.insert(id, name);
                }
                Event::Left { id, .. } => {
                    println!("        - {}", self.name(Some(id)));
                    self.names.remove(&id);
                }
                Event::Cue(cue) => self.tell_cue(&cue, client.schema()),
                Event::Disconnected(reason) => println!("        {reason}"),
                // The view begins anew.
                Event::Connected { .. } => self.names.clear(),
                Event::Reconnecting { last_error, .. } => println!("        {last_error}; trying again"),
                Event::Rejected(_)
                | Event::Confirmed { .. }
                | Event::Match(_)
                | Event::Groups
                | Event::Member(_)
                | Event::Game(_)
                | Event::Request(_)
                | Event::Response(..)
                | Event::Message(_)
                | Event::Sent(..)
                | Event::Bulk(_)
                | Event::TokenChecked(_) => {}
            }
        }
    }

    fn tell_cue(&self, cue: &Cue, schema: &Schema) {
        let (source, row) = (self.name(cue.source), cue.row(schema));
        match cue.id {
            FIRED => println!("        {source} fires at {}", self.name(row.entity(cue::TARGET))),
            HIT => {
                println!(
                    "        {} hits {source} at {:.1}",
                    self.name(row.entity(cue::BY)),
                    row.vec2(cue::PLACE)
                );
            }
            _ => {}
        }
    }

    /// One picture.
    pub(crate) fn draw(&self, client: &Client, now: Micros) {
        println!("{:5.1} s", now.as_secs_f64());
        if let Some(own) = client.own_row(TANK) {
            let [health, ammo, score] =
                [tank::HEALTH, tank::AMMO, tank::SCORE].map(|field| own.integer(field));
            println!("        I have {health} health, {ammo} shots, {score} points");
        }
        let view = client.view(now);
        for tank in view.entities(TANK) {
            println!(
                "        {:9} at {:.1} aims at {}, was hit by {}",
                self.name(Some(tank.id())),
                tank.vec2(tank::POSITION),
                self.name(tank.entity(tank::TARGET)),
                self.name(tank.entity(tank::HIT_BY)),
            );
        }
        for drone in view.entities(DRONE) {
            println!("        {:9} at {:.1}", self.name(Some(drone.id())), drone.vec2(drone::POSITION));
        }
    }

    /// A reference may name an entity that has left, or that this client never saw.
    fn name(&self, id: Option<EntityId>) -> &str {
        match id {
            Some(id) => self.names.get(&id).map_or("someone gone", String::as_str),
            None => "nobody",
        }
    }
}

/// A tank says its name with its spawn; a drone has none.
pub(crate) fn name(entity: EntityView<'_>) -> String {
    match entity.payload() {
        Some(name) => String::from_utf8_lossy(name).into_owned(),
        None => format!("drone {}", entity.id()),
    }
}
