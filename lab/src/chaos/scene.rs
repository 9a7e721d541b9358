//! What a client's picture shows, beside which events are told.

use std::collections::BTreeSet;

use tickwire_client::ToldEvent;
use tickwire_protocol::{EntityId, Tick};

use super::game::HAPPENED;
use super::report::ChaosReport;

/// For so long whom an event names is waited for, ticks: a second.
const PATIENCE_TICKS: i32 = 30;

#[derive(Debug, Default)]
pub(super) struct Scene {
    /// What has entered, as it was told.
    entered: BTreeSet<EntityId>,
    /// Whom events named that were told before these have entered: if they are gone they are not waited for.
    unseen: Vec<EntityId>,
}

impl Scene {
    pub(super) fn clear(&mut self) {
        self.entered.clear();
        self.unseen.clear();
    }

    pub(super) fn enter(&mut self, entity: EntityId) {
        self.entered.insert(entity);
    }

    pub(super) fn leave(&mut self, entity: EntityId) {
        self.entered.remove(&entity);
    }

    /// Something is told while the view shows this tick.
    pub(super) fn hear(&mut self, told: &ToldEvent, view: Tick, report: &mut ChaosReport) {
        let is_early = told.ty == HAPPENED && told.tick.is_newer_than(view);
        report.messages_reordered += u64::from(is_early);
        let is_late = view.since(told.tick) >= PATIENCE_TICKS;
        let event = &told.event;
        for (named, in_view) in [(event.source, told.source_in_view), (event.target, told.target_in_view)] {
            let Some(entity) = named else { continue };
            report.messages_reordered += u64::from(in_view != self.entered.contains(&entity));
            if !in_view && !is_late {
                self.unseen.push(entity);
            }
        }
    }

    /// Who was not waited for since the last call.
    pub(super) fn take_unseen(&mut self) -> Vec<EntityId> {
        core::mem::take(&mut self.unseen)
    }
}
