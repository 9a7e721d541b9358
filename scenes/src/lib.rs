//! Scenes that the codec's default prior is trained on.
//!
//! A [`Scene`] is a small game that plays itself: the same seed gives the same tables, tick by tick, on every target.
//! None of them is a recording, and none of them is a benchmark: the prior must hold for games that it has not seen.
//!
//! ```
//! let scene = tickwire_scenes::all().into_iter().find(|scene| scene.name == "fps").unwrap();
//! let mut rows = 0;
//! scene.run(10, 1, &mut |_tick, tables| rows += tables.row_count());
//! assert_eq!(rows, 120);
//! ```
//!
//! | module | what it plays |
//! |---|---|
//! | `cubes` | hundreds of cubes at rest, of which some are pushed, pulled and tossed |
//! | `bodies` | cars that play football: velocities of both kinds, on three lattices |
//! | `fps` | players of a shooter: sharp turns, jumps, stairs, teleporters |
//! | `arena` | the engine's own example game and its bots |
//! | [`stats`] | whether what they do is plausible |
//! | [`train`] | the default prior, learned from all of them |

mod arena;
mod bodies;
mod cubes;
mod fps;
mod scene;
pub mod stats;
pub mod train;

pub use scene::Scene;

/// Every scene there is.
pub fn all() -> Vec<Scene> {
    let mut scenes = vec![cubes::scene()];
    scenes.extend(bodies::scenes());
    scenes.extend(fps::scenes());
    scenes.push(arena::scene());
    scenes
}
