//! Which entities live: who gets which id, and when a slot may be used again.

use std::collections::VecDeque;

use bytes::Bytes;
use tickwire_protocol::limits::{ENTITIES_MAX, SLOT_REST_TICKS, SPAWN_PAYLOAD_BYTES_MAX};
use tickwire_protocol::{EntityId, KindId, Tables, Tick};

/// Slots that 16 bits can name.
const SLOTS: usize = 1 << 16;

/// Kept for what a client spawns ahead of the server, which never gives it out: so the two cannot be taken for one
/// another.
const PROVISIONAL_GENERATION: u16 = u16::MAX;

/// Provisional entities of so many ticks, and so many of each, have slots of their own: about what is on its way to the
/// server and back. They are the last ones, for servers give out the first ones first.
const PROVISIONAL_TICKS: usize = 128;
const PROVISIONAL_PER_TICK: usize = 8;

/// Whether the id was given by a client's predicted step, and means nothing to the server.
pub fn is_provisional(id: EntityId) -> bool {
    id.generation == PROVISIONAL_GENERATION
}

/// The entities that live in a world, with what is fixed at their spawn.
///
/// Ids depend on nothing but the order of spawns and ends: the slot that has rested longest, if it has rested enough,
/// otherwise one that was never used.
#[derive(Clone, Debug)]
pub(crate) struct Entities {
    authority: Authority,
    slots: Vec<Slot>,
    /// Those that live, in no order. What is done once a step goes through these: slots may be as many as a peer likes.
    tenants: Vec<Tenant>,
    /// Memory: the slots of those that end in a step.
    ended: Vec<u16>,
    /// Slots without a tenant, longest at rest first. Empty in a partial world.
    resting: VecDeque<Resting>,
    /// Steps so far. Ticks wrap; this does not.
    steps: u64,
    /// The tick of the step.
    tick: Tick,
    /// Entities spawned in it.
    spawned: usize,
}

/// Who decides about ids.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Authority {
    /// This world.
    Here,
    /// A server: ids come with restored tables, and what is spawned here is provisional.
    Elsewhere,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// Of the tenant, or of the last one; 0 if there never was one.
    generation: u16,
    /// Where the tenant is among all.
    tenant: Option<u16>,
}

#[derive(Clone, Debug)]
struct Tenant {
    slot: u16,
    kind: KindId,
    /// Empty if there is none.
    payload: Bytes,
    /// Whether the tables that are being looked through have its row.
    is_saved: bool,
}

#[derive(Clone, Copy, Debug)]
struct Resting {
    slot: u16,
    /// The step from which the slot may be used.
    until: u64,
}

impl Entities {
    pub(crate) fn new(authority: Authority) -> Self {
        Self {
            authority,
            slots: Vec::new(),
            tenants: Vec::new(),
            ended: Vec::new(),
            resting: VecDeque::new(),
            steps: 0,
            tick: Tick(0),
            spawned: 0,
        }
    }

    pub(crate) fn authority(&self) -> Authority {
        self.authority
    }

    /// A step begins.
    pub(crate) fn begin_step(&mut self, tick: Tick) {
        self.steps += 1;
        self.tick = tick;
        self.spawned = 0;
    }

    /// Gives an id to a new entity.
    ///
    /// # Panics
    /// If the world is full or the payload too large.
    pub(crate) fn spawn(&mut self, kind: KindId, payload: Bytes) -> EntityId {
        assert!(
            payload.len() <= SPAWN_PAYLOAD_BYTES_MAX,
            "a spawn payload has at most {SPAWN_PAYLOAD_BYTES_MAX} bytes, this one {}",
            payload.len()
        );
        assert!(self.tenants.len() < ENTITIES_MAX, "{ENTITIES_MAX} entities live, no more fit into a world");
        let index = match self.authority {
            Authority::Here => self.vacant_slot(),
            Authority::Elsewhere => self.provisional_slot(),
        };
        self.spawned += 1;
        let generation = match self.authority {
            Authority::Here => next_generation(self.slots[index].generation),
            Authority::Elsewhere => PROVISIONAL_GENERATION,
        };
        let id = EntityId { slot: index as u16, generation };
        self.settle(id, Tenant { slot: id.slot, kind, payload, is_saved: false });
        id
    }

    /// Lets an entity live whose id comes from elsewhere; whoever had its slot is gone.
    ///
    /// # Panics
    /// If the payload is too large.
    pub(crate) fn place(&mut self, kind: KindId, id: EntityId, payload: Bytes) {
        assert!(
            payload.len() <= SPAWN_PAYLOAD_BYTES_MAX,
            "a spawn payload has at most {SPAWN_PAYLOAD_BYTES_MAX} bytes, this one {}",
            payload.len()
        );
        self.resting.retain(|resting| resting.slot != id.slot);
        self.settle(id, Tenant { slot: id.slot, kind, payload, is_saved: false });
    }

    /// Lets a tenant into a slot, in place of whoever is there.
    fn settle(&mut self, id: EntityId, tenant: Tenant) {
        let slot = usize::from(id.slot);
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, Slot::default);
        }
        self.slots[slot].generation = id.generation;
        if let Some(place) = self.slots[slot].tenant {
            self.tenants[usize::from(place)] = tenant;
        } else {
            self.slots[slot].tenant = Some(self.tenants.len() as u16);
            self.tenants.push(tenant);
        }
    }

    /// A slot that follows from the tick and the order in it: what is spawned again when a client steps a tick anew has the
    /// same id as before.
    fn provisional_slot(&mut self) -> usize {
        let of_tick = self.tick.0 as usize % PROVISIONAL_TICKS * PROVISIONAL_PER_TICK;
        let first = SLOTS - 1 - of_tick - self.spawned % PROVISIONAL_PER_TICK;
        let is_vacant = |slot: &usize| self.slots.get(*slot).is_none_or(|slot| slot.tenant.is_none());
        // There is one: fewer live than there are slots.
        (0..=first).rev().chain(first..SLOTS).find(is_vacant).unwrap_or(first)
    }

    fn vacant_slot(&mut self) -> usize {
        if let Some(longest) = self.resting.front().copied()
            && longest.until <= self.steps
        {
            self.resting.pop_front();
            return usize::from(longest.slot);
        }
        assert!(
            self.slots.len() < SLOTS,
            "all {SLOTS} entity slots are taken or rest for {SLOT_REST_TICKS} ticks: entities are spawned and \
             ended too fast"
        );
        self.slots.push(Slot::default());
        self.slots.len() - 1
    }

    /// The kind of a living entity.
    pub(crate) fn kind(&self, id: EntityId) -> Option<KindId> {
        Some(self.tenant(id)?.kind)
    }

    /// What a living entity was spawned with, if with something. Empty is nothing, as on the wire: so every world
    /// and view says the same.
    pub(crate) fn payload(&self, id: EntityId) -> Option<&Bytes> {
        Some(&self.tenant(id)?.payload).filter(|payload| !payload.is_empty())
    }

    /// What a living entity was spawned with elsewhere; false if it does not live here.
    pub(crate) fn set_payload(&mut self, id: EntityId, payload: Bytes) -> bool {
        self.tenant_mut(id).map(|tenant| tenant.payload = payload).is_some()
    }

    /// Keeps those that the tables have and ends the others.
    ///
    /// # Panics
    /// If the tables have an entity that was not spawned, or as another kind.
    pub(crate) fn retain_saved(&mut self, tables: &Tables) {
        for (kind, table) in tables.iter() {
            for head in table.heads() {
                let Some(tenant) = self.tenant_mut(head.id) else {
                    panic!(
                        "entity {} was saved as `{}` but does not live: `spawn` gives ids, and an entity that was \
                         once not saved is gone",
                        head.id,
                        kind.name()
                    );
                };
                assert!(
                    tenant.kind == KindId(kind.index()),
                    "entity {} was spawned as `{}` but saved as `{}`: a kind is fixed at spawn",
                    head.id,
                    tables.schema().kind(tenant.kind).name(),
                    kind.name()
                );
                tenant.is_saved = true;
            }
        }
        self.end_unsaved();
    }

    /// Lets exactly those live that the tables have. Payloads of those that already did are kept.
    pub(crate) fn adopt(&mut self, tables: &Tables) {
        for (kind, table) in tables.iter() {
            let kind = KindId(kind.index());
            for id in table.heads().iter().map(|head| head.id) {
                let payload = self.tenant_mut(id).map(|tenant| core::mem::take(&mut tenant.payload));
                let payload = payload.unwrap_or_default();
                self.settle(id, Tenant { slot: id.slot, kind, payload, is_saved: true });
            }
        }
        self.end_unsaved();
    }

    fn end_unsaved(&mut self) {
        let mut place = 0;
        while let Some(tenant) = self.tenants.get_mut(place) {
            if core::mem::take(&mut tenant.is_saved) {
                place += 1;
                continue;
            }
            let slot = self.tenants.swap_remove(place).slot;
            self.slots[usize::from(slot)].tenant = None;
            if let Some(moved) = self.tenants.get(place) {
                self.slots[usize::from(moved.slot)].tenant = Some(place as u16);
            }
            self.ended.push(slot);
        }
        if self.authority == Authority::Here {
            let until = self.steps + u64::from(SLOT_REST_TICKS);
            self.ended.sort_unstable();
            self.resting.extend(self.ended.iter().map(|&slot| Resting { slot, until }));
        }
        self.ended.clear();
    }

    fn place_of(&self, id: EntityId) -> Option<usize> {
        let slot = self.slots.get(usize::from(id.slot)).filter(|slot| slot.generation == id.generation)?;
        slot.tenant.map(usize::from)
    }

    fn tenant(&self, id: EntityId) -> Option<&Tenant> {
        Some(&self.tenants[self.place_of(id)?])
    }

    fn tenant_mut(&mut self, id: EntityId) -> Option<&mut Tenant> {
        let place = self.place_of(id)?;
        Some(&mut self.tenants[place])
    }
}

/// Counts up, leaving out 0 (no entity) and what is provisional.
fn next_generation(generation: u16) -> u16 {
    if generation + 1 < PROVISIONAL_GENERATION { generation + 1 } else { 1 }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tickwire_protocol::schema::Kind;
    use tickwire_protocol::{RowHead, Schema};

    use super::*;

    const K: KindId = KindId(0);

    fn tables(ids: &[EntityId]) -> Tables {
        let mut tables = Tables::new(schema());
        for &id in ids {
            tables.insert(K, RowHead::new(id));
        }
        tables.finish();
        tables
    }

    fn schema() -> Arc<Schema> {
        Schema::builder("s").kind(Kind::new(K, "k", [])).build().unwrap()
    }

    fn spawn(entities: &mut Entities) -> EntityId {
        entities.spawn(K, Bytes::new())
    }

    #[test]
    fn generations_skip_what_names_nothing_or_a_guess() {
        assert_eq!([0, 1, 65_533, 65_534].map(next_generation), [1, 2, 65_534, 1]);
    }

    #[test]
    fn slots_rest_and_come_back_in_the_order_in_which_they_were_freed() {
        let mut entities = Entities::new(Authority::Here);
        entities.begin_step(Tick(0));
        let [a, b, c] = [(); 3].map(|()| spawn(&mut entities));
        assert_eq!([a, b, c].map(|id| (id.slot, id.generation)), [(0, 1), (1, 1), (2, 1)]);
        entities.retain_saved(&tables(&[a, c]));
        entities.begin_step(Tick(0));
        entities.retain_saved(&tables(&[c]));
        // Slot 1 was freed in step 1, slot 0 in step 2.
        while entities.steps < u64::from(SLOT_REST_TICKS) {
            entities.begin_step(Tick(0));
        }
        assert_eq!(spawn(&mut entities).slot, 3, "nothing has rested enough");
        entities.begin_step(Tick(0));
        assert_eq!(spawn(&mut entities), EntityId { slot: 1, generation: 2 });
        assert_eq!(spawn(&mut entities).slot, 4);
        entities.begin_step(Tick(0));
        assert_eq!(spawn(&mut entities), EntityId { slot: 0, generation: 2 });
        assert_eq!(entities.kind(a), None, "the former tenant is not the new one");
        assert_eq!(entities.kind(c), Some(K));
    }

    #[test]
    fn a_partial_world_guesses_ids_that_no_server_gives() {
        let mut entities = Entities::new(Authority::Elsewhere);
        let [a, b] = [1, 3].map(|slot| EntityId { slot, generation: 9 });
        entities.adopt(&tables(&[a, b]));
        assert!(entities.set_payload(b, Bytes::from_static(b"b")));
        entities.begin_step(Tick(0));
        let guess = spawn(&mut entities);
        assert!(is_provisional(guess), "{guess}");
        assert_eq!([spawn(&mut entities).slot, spawn(&mut entities).slot], [guess.slot - 1, guess.slot - 2]);
        entities.adopt(&tables(&[b]));
        assert_eq!((entities.kind(a), entities.kind(guess), entities.kind(b)), (None, None, Some(K)));
        assert_eq!(entities.payload(b).unwrap(), "b");
        assert!(!entities.set_payload(a, Bytes::new()));
        entities.begin_step(Tick(1));
        let next = spawn(&mut entities);
        entities.adopt(&tables(&[b]));
        entities.begin_step(Tick(0));
        assert_eq!(spawn(&mut entities), guess, "the same tick, the same order, the same id");
        entities.begin_step(Tick(1));
        assert_eq!(spawn(&mut entities), next);
    }

    #[test]
    fn a_guess_keeps_its_id_whatever_the_server_spawns() {
        let mut entities = Entities::new(Authority::Elsewhere);
        entities.begin_step(Tick(0));
        let guesses = [spawn(&mut entities), spawn(&mut entities)];
        // Servers give out the first slots first.
        let real: Vec<_> = (0..2_000).map(|slot| EntityId { slot, generation: 1 }).collect();
        entities.adopt(&tables(&real));
        entities.begin_step(Tick(0));
        assert_eq!([spawn(&mut entities), spawn(&mut entities)], guesses);
    }

    #[test]
    fn who_stays_is_found_however_others_come_and_go() {
        let mut entities = Entities::new(Authority::Elsewhere);
        let id = |slot: u16| EntityId { slot, generation: 7 };
        let lives = |slot: u16, round: u16| (slot.wrapping_mul(31) ^ round.wrapping_mul(17)) % 5 < 3;
        for round in 1..50_u16 {
            let here: Vec<_> =
                (0..40).map(|n| n * 1_638).filter(|&slot| lives(slot, round)).map(id).collect();
            entities.adopt(&tables(&here));
            for slot in (0..40).map(|n| n * 1_638) {
                let is_new = lives(slot, round) && !(round > 1 && lives(slot, round - 1));
                let payload = Bytes::copy_from_slice(&slot.to_le_bytes());
                assert!(!is_new || entities.set_payload(id(slot), payload.clone()));
                let expected = lives(slot, round).then_some(&payload);
                assert_eq!(entities.payload(id(slot)), expected, "slot {slot} in round {round}");
            }
            assert_eq!(entities.tenants.len(), here.len(), "a step walks no more than live");
        }
    }

    #[test]
    fn a_full_world_says_so() {
        let panic = std::panic::catch_unwind(|| {
            let mut entities = Entities::new(Authority::Here);
            for _ in 0..=ENTITIES_MAX {
                spawn(&mut entities);
            }
        })
        .unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("32768 entities live"));
        let panic = std::panic::catch_unwind(|| {
            Entities::new(Authority::Here).spawn(K, Bytes::from_static(&[0; SPAWN_PAYLOAD_BYTES_MAX + 1]))
        })
        .unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("this one 257"));
    }
}
