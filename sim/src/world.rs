//! A simulation and all that the engine keeps around it.

use core::fmt;

use bytes::Bytes;
use tickwire_protocol::hash::WordHash;
use tickwire_protocol::{Cue, EntityId, KindId, PlayerId, Tables, Tick, TickRate};

use crate::admission::{JoinRefusal, Newcomer};
use crate::context::StepContext;
use crate::cues::Cues;
use crate::entities::{Authority, Entities};
use crate::eyes::Eyes;
use crate::inputs::PlayerInputs;
use crate::mail::{Mail, Outside};
use crate::simulation::Simulation;

/// What a world is told at its making.
#[derive(Clone, Copy, Debug)]
pub struct WorldConfig {
    /// Where all chance comes from. Two worlds with equal simulations, seeds and inputs are equal for ever.
    pub seed: u64,
    /// How often it steps.
    pub tick_rate: TickRate,
    /// The number of its first step.
    pub first_tick: Tick,
}

/// A simulation that runs: its tables, its entities' ids, its cues and its tick.
///
/// ```text
/// inputs -> step -> save -> tables (quantized) -> load -> the next step
///             \-> cues        \-> published, compared, shown
/// ```
///
/// An **authoritative** world ([`World::new`]) gives out ids and sets the scene. A **partial** one
/// ([`World::partial`]) is a client's: its rows come from outside ([`World::restore`]), and its steps are predictions.
/// Both run the same simulation by the same code.
///
/// Nothing here allocates once the world has been as large as it gets.
pub struct World {
    simulation: Box<dyn Simulation>,
    config: WorldConfig,
    /// The last step that was done.
    tick: Tick,
    is_started: bool,
    entities: Entities,
    cues: Cues,
    /// The inputs of the last step, as the game wants them.
    inputs: PlayerInputs,
    tables: Tables,
    /// Where the next step is saved; empty in between.
    next: Tables,
}

impl World {
    /// An authoritative world. Its first step is `config.first_tick`, and sets the scene.
    pub fn new(simulation: Box<dyn Simulation>, config: WorldConfig) -> Self {
        Self::with_authority(simulation, config, Authority::Here)
    }

    /// A client's world: empty until it is restored, and without a scene of its own.
    pub fn partial(simulation: Box<dyn Simulation>, config: WorldConfig) -> Self {
        Self::with_authority(simulation, config, Authority::Elsewhere)
    }

    fn with_authority(simulation: Box<dyn Simulation>, config: WorldConfig, authority: Authority) -> Self {
        let tables = Tables::new(simulation.schema().clone());
        Self {
            simulation,
            config,
            tick: config.first_tick - 1,
            is_started: false,
            entities: Entities::new(authority),
            cues: Cues::new(),
            inputs: PlayerInputs::new(tables.schema().clone()),
            next: tables.clone(),
            tables,
        }
    }

    /// Advances by exactly one tick, without knowing what players see and say. Inputs are [sanitized](Simulation::sanitize) first.
    ///
    /// # Panics
    /// If the simulation breaks its contract: it saves an entity twice, one that does not live, or one as another
    /// kind than it was spawned as; or where the simulation itself panics. The world is of no use afterwards.
    pub fn step(&mut self, inputs: &PlayerInputs) {
        self.step_with(inputs, Outside::default());
    }

    /// As [`World::step`], with those `outside` who answer [`StepContext::seen_by`] and carry messages.
    pub fn step_with(&mut self, inputs: &PlayerInputs, outside: Outside<'_>) {
        self.tick = self.tick + 1;
        self.cues.clear();
        self.entities.begin_step(self.tick);
        self.inputs.copy_from(inputs);
        self.inputs.for_each_row(|row| self.simulation.sanitize(row));
        let schema = self.tables.schema();
        let mut ctx = StepContext {
            tick: self.tick,
            tick_rate: self.config.tick_rate,
            seed: self.config.seed,
            schema,
            inputs: &self.inputs,
            entities: &mut self.entities,
            cues: &mut self.cues,
            outside: Outside {
                eyes: outside.eyes.map(|eyes| eyes as &mut dyn Eyes),
                mail: outside.mail.map(|mail| mail as &mut dyn Mail),
                accounts: outside.accounts,
                roster: outside.roster,
                match_state: outside.match_state,
                dismissals: outside.dismissals,
            },
        };
        if !self.is_started && ctx.entities.authority() == Authority::Here {
            self.simulation.start(&mut ctx);
        }
        self.is_started = true;
        self.simulation.step(&mut ctx);
        self.simulation.save(&mut self.next);
        self.next.finish();
        self.entities.retain_saved(&self.next);
        core::mem::swap(&mut self.tables, &mut self.next);
        self.next.clear();
        self.simulation.load(&self.tables);
    }

    /// Whether the [simulation](Simulation::admit) lets somebody in.
    ///
    /// # Errors
    /// Why it does not.
    pub fn admit(&self, newcomer: &Newcomer<'_>) -> Result<(), JoinRefusal> {
        self.simulation.admit(newcomer)
    }

    /// Makes a partial world hold exactly these rows, as they were at the end of `tick`; the next step is the one
    /// after. Payloads of entities that stay are kept, those of new ones come by [`World::set_payload`].
    ///
    /// # Panics
    /// In an authoritative world: its ids, and who rests since when, are in no table. To go on from another moment of
    /// it, keep a [`World::rebuild`] from then. Also if the tables are of another schema.
    pub fn restore(&mut self, tick: Tick, tables: &Tables) {
        assert!(
            self.entities.authority() == Authority::Elsewhere,
            "only a partial world can be restored: this one is the authority"
        );
        assert!(
            tables.schema().hash() == self.tables.schema().hash(),
            "a world of `{}` cannot hold tables of `{}`",
            self.tables.schema().name(),
            tables.schema().name()
        );
        self.tick = tick;
        self.cues.clear();
        self.tables.copy_from(tables);
        self.entities.adopt(&self.tables);
        self.simulation.load(&self.tables);
    }

    /// Tells what an entity of a partial world was spawned with; false if it does not live here. It is forgotten
    /// when the entity ends. No bytes are no payload.
    pub fn set_payload(&mut self, entity: EntityId, payload: Bytes) -> bool {
        self.entities.set_payload(entity, payload)
    }

    /// A second world at the same tick, with the same ids and rows, that goes on with another instance of the
    /// simulation, loaded from the tables. If the simulation keeps its contract, both stay equal.
    pub fn rebuild(&self, mut simulation: Box<dyn Simulation>) -> Self {
        simulation.load(&self.tables);
        Self {
            simulation,
            config: self.config,
            tick: self.tick,
            is_started: self.is_started,
            entities: self.entities.clone(),
            cues: self.cues.clone(),
            inputs: self.inputs.clone(),
            tables: self.tables.clone(),
            next: Tables::new(self.tables.schema().clone()),
        }
    }

    /// Ends the world; the simulation is to be loaded before it is of use in another.
    pub fn into_simulation(self) -> Box<dyn Simulation> {
        self.simulation
    }

    /// The last step that was done; before the first, the tick before it.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// What the world was made with.
    pub fn config(&self) -> WorldConfig {
        self.config
    }

    /// The state after the last step, as simulated.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// What the last step emitted, in the order of emission.
    pub fn cues(&self) -> &[Cue] {
        self.cues.emitted()
    }

    /// How many cues of the last step were too many, and lost.
    pub fn cues_dropped(&self) -> u32 {
        self.cues.dropped()
    }

    /// The kind of an entity that lives.
    pub fn kind(&self, entity: EntityId) -> Option<KindId> {
        self.entities.kind(entity)
    }

    /// The bytes that an entity was spawned with; nothing if it was with none, or if it does not live.
    pub fn payload(&self, entity: EntityId) -> Option<&Bytes> {
        self.entities.payload(entity)
    }

    /// Names the state: worlds whose rows are equal, heads included, have equal digests.
    pub fn digest(&self) -> u64 {
        digest(&self.tables)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("schema", &self.tables.schema().name())
            .field("authority", &self.entities.authority())
            .field("tick", &self.tick)
            .field("rows", &self.tables.row_count())
            .finish_non_exhaustive()
    }
}

/// Names what is in the tables: every row with its head, as simulated.
///
/// Compares worlds. What a peer should hold is another digest: of published values, by what the peer may see.
pub fn digest(tables: &Tables) -> u64 {
    let mut sum = 0_u64;
    for (kind, table) in tables.iter() {
        for (index, head) in table.heads().iter().enumerate() {
            let owner = head.owner.map_or([0, 0], |PlayerId(player)| [1, player]);
            let row = table.row(kind, index);
            let hash = [owner[0], owner[1], head.teams, u32::from(head.teleported)]
                .into_iter()
                .chain((0..kind.column_count()).map(|column| row.column(column) as u32))
                .fold(WordHash::new(u32::from(kind.index()), head.id.pack()), WordHash::word);
            sum = sum.wrapping_add(hash.finish());
        }
    }
    sum
}
