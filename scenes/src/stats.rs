//! What a scene is like, to see whether it is like a game.

use tickwire_protocol::schema::Kind;
use tickwire_protocol::{Table, Tables, Tick};

use crate::Scene;

/// What was counted over a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Ticks that were looked at.
    pub ticks: u32,
    /// Rows of all of them.
    pub rows: u64,
    /// Rows that differ from the tick before.
    pub moved: u64,
    /// Rows that jumped.
    pub teleported: u64,
    /// Snapshots among the ticks.
    pub frames: u32,
    /// Rows of all of these.
    pub frame_rows: u64,
    /// Rows that differ from the snapshot before.
    pub frame_moved: u64,
    /// Columns of positions and velocities that stand at a bound of theirs, as they would if they were clamped.
    pub at_bounds: u64,
}

impl Stats {
    /// Plays a scene and counts.
    pub fn of(scene: &Scene, ticks: u32, seed: u64) -> Self {
        let mut stats = Self::default();
        let mut due = scene.frame_ticks(seed);
        let mut next = due.next();
        let [mut last, mut last_frame] = [None::<Tables>, None];
        scene.run(ticks, seed, &mut |tick: Tick, tables: &Tables| {
            stats.ticks += 1;
            stats.rows += tables.row_count() as u64;
            stats.moved += moved(tables, &mut last);
            stats.at_bounds += at_bounds(tables);
            let heads = tables.iter().flat_map(|(_, table)| table.heads());
            stats.teleported += heads.filter(|head| head.teleported).count() as u64;
            if next == Some(tick) {
                next = due.next();
                stats.frames += 1;
                stats.frame_rows += tables.row_count() as u64;
                stats.frame_moved += moved(tables, &mut last_frame);
            }
        });
        stats
    }

    /// The share of rows that differ from the tick before, 0 to 1.
    pub fn moving(&self) -> f64 {
        self.moved as f64 / self.rows.max(1) as f64
    }

    /// The share of rows that differ from the snapshot before, 0 to 1.
    pub fn frame_moving(&self) -> f64 {
        self.frame_moved as f64 / self.frame_rows.max(1) as f64
    }
}

/// Counts the rows that are not as they were in `last`, and puts them there.
fn moved(tables: &Tables, last: &mut Option<Tables>) -> u64 {
    let Some(last) = last else {
        *last = Some(tables.clone());
        return 0;
    };
    let count = |((_, table), (_, old)): ((&Kind, &Table), (&Kind, &Table))| {
        let is_same = |row: usize, was: usize| table.values(row) == old.values(was);
        let has_moved = |row: &usize| !old.find(table.heads()[*row].id).is_some_and(|was| is_same(*row, was));
        (0..table.len()).filter(has_moved).count() as u64
    };
    let moved = tables.iter().zip(last.iter()).map(count).sum();
    last.copy_from(tables);
    moved
}

fn at_bounds(tables: &Tables) -> u64 {
    use tickwire_protocol::schema::FieldType::{Position, Velocity};
    let mut count = 0;
    for (kind, table) in tables.iter() {
        for field in
            kind.fields().iter().filter(|field| matches!(field.ty, Position { .. } | Velocity { .. }))
        {
            for column in field.columns() {
                let bounds = &kind.columns()[column];
                let is_bound = |value: i32| value == bounds.min || value == bounds.max;
                count += (0..table.len()).filter(|&row| is_bound(table.values(row)[column])).count() as u64;
            }
        }
    }
    count
}
