//! The simulation interface, the example game [`arena`] and the [brains of its bots](bots).
//!
//! PURE and deterministic: time, inputs and chance are handed in, and the same of them give the same bits on every
//! target. This is what a whole game looks like, ready for a server that many clients watch:
//!
//! ```
//! use std::sync::Arc;
//! use tickwire_sim::prelude::*;
//!
//! const BALL: KindId = KindId(0);
//! const POSITION: FieldId = FieldId(0);
//! const PUSH: FieldId = FieldId(0);
//!
//! struct Ball { id: EntityId, owner: Option<PlayerId>, position: Vec2 }
//! struct Marbles { schema: Arc<Schema>, balls: Vec<Ball> }
//!
//! impl Simulation for Marbles {
//!     fn schema(&self) -> &Arc<Schema> { &self.schema }
//!
//!     fn step(&mut self, ctx: &mut StepContext<'_>) {
//!         self.balls.retain(|ball| ball.owner.is_none_or(|owner| !ctx.left().contains(&owner)));
//!         for &player in ctx.joined() {
//!             self.balls.push(Ball { id: ctx.spawn(BALL), owner: Some(player), position: Vec2::ZERO });
//!         }
//!         for ball in &mut self.balls {
//!             let input = ball.owner.and_then(|owner| ctx.input(owner));
//!             ball.position += input.map_or(Vec2::ZERO, |input| input.vec2(PUSH)) * 5.0 * ctx.dt();
//!         }
//!     }
//!
//!     fn save(&self, out: &mut Tables) {
//!         for ball in &self.balls {
//!             let head = RowHead { owner: ball.owner, ..RowHead::new(ball.id) };
//!             out.insert(BALL, head).set_vec2(POSITION, ball.position);
//!         }
//!     }
//!
//!     fn load(&mut self, tables: &Tables) {
//!         self.balls.clear();
//!         // No owner: someone else's ball, on a client. It stays.
//!         self.balls.extend(tables.rows(BALL).map(|(head, row)| {
//!             Ball { id: head.id, owner: head.owner, position: row.vec2(POSITION) }
//!         }));
//!     }
//! }
//!
//! let schema = Schema::builder("marbles")
//!     .kind(Kind::new(BALL, "ball", [Field::new(POSITION, "position", FieldType::position([-9.0..=9.0, -9.0..=9.0], 0.01))]))
//!     .input([Field::new(PUSH, "push", FieldType::position([-1.0..=1.0, -1.0..=1.0], 0.01))])
//!     .build()?;
//!
//! // A server's room does this; so does a test:
//! let game = Marbles { schema: schema.clone(), balls: Vec::new() };
//! let config = WorldConfig { seed: 1, tick_rate: TickRate::new(50).unwrap(), first_tick: Tick(0) };
//! let mut world = World::new(Box::new(game), config);
//! let mut inputs = PlayerInputs::new(schema);
//! inputs.join(PlayerId(1)).set_vec2(PUSH, Vec2::X);
//! world.step(&inputs);
//! let (head, row) = world.tables().rows(BALL).next().unwrap();
//! assert_eq!((head.owner, row.vec2(POSITION)), (Some(PlayerId(1)), Vec2::new(0.1, 0.0)));
//! # Ok::<(), SchemaError>(())
//! ```
//!
//! | module | what it decides |
//! |---|---|
//! | [`simulation`] | what a game implements, and the contract of it |
//! | [`context`], [`inputs`], [`random`] | what a step sees and can ask for |
//! | [`world`] | the loop of a tick: step, save, quantize, load; ids, cues, digest |
//! | [`eyes`], [`between`], [`blend`] | what a player saw when it gave its input; a row between two states; from one value to another |
//! | [`mail`], [`bulk`] | what players say, and what is said to them; what is too large for a message |
//! | [`admission`], [`roster`] | who is let in; who they are |
//! | [`match_board`], [`groups`] | how their match stands; who of them belong together |
//! | [`dismissals`] | who of them has to go, and when their room ends |
//! | [`replay`] | a recording as a simulation: what was published, tick by tick |
//! | [`testing`] | checks that any game should pass |
//! | [`arena`], [`bots`] | an example game, and who plays it when nobody does |

mod account;
pub mod admission;
pub mod arena;
pub mod between;
pub mod blend;
pub mod bots;
pub mod bulk;
pub mod context;
mod cues;
pub mod dismissals;
mod entities;
pub mod eyes;
pub mod groups;
pub mod inputs;
pub mod mail;
pub mod match_board;
pub mod prelude;
pub mod random;
pub mod replay;
pub mod roster;
pub mod simulation;
pub mod testing;
pub mod world;

pub use account::{Account, Accounts};
pub use admission::{JoinRefusal, Newcomer};
pub use bulk::BulkMail;
pub use context::StepContext;
pub use dismissals::{Dismissals, RemovalReason};
pub use entities::is_provisional;
pub use eyes::Eyes;
pub use groups::{GroupError, Groups};
pub use inputs::PlayerInputs;
pub use mail::{Audience, Mail, Outside};
pub use match_board::{MatchBoard, MatchRow};
pub use random::Random;
pub use roster::Roster;
pub use simulation::Simulation;
pub use tickwire_protocol as protocol;
pub use world::{World, WorldConfig};
