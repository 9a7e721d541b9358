//! Nothing is allocated per tick once warm (ARCHITECTURE.md, law 11): a room's ring, its encoder, and a receiver, over hundreds
//! of ticks.
//!
//! What stays is bounded: `RowCache` and `EncodedBody` keep the memory of their largest tick, at most `ROWS_PER_SNAPSHOT_MAX`
//! rows for each set of named states; the ring that of 128 ticks; a replica that of the states which it keeps of each slot.

use std::sync::Arc;

use glam::{Quat, Vec2};
use tickwire_protocol::history::{History, Published};
use tickwire_protocol::limits::BODY_BYTES_MAX;
use tickwire_protocol::schema::{Field, FieldType, Kind, Schema, Sight};
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, Coder, DecodedSnapshot, EncodedBody, PlannedRow, Prior, References, Replica, RowCache,
    SectionPlan, SnapshotHeader, TickWidth,
};
use tickwire_protocol::{EntityId, FieldId, KindId, RowHead, Tables, Tick, TickRate};

const DRONE: KindId = KindId(0);
const POSITION: FieldId = FieldId(0);
const VELOCITY: FieldId = FieldId(1);
const ROTATION: FieldId = FieldId(2);
const CHARGE: FieldId = FieldId(3);
const SECRET: FieldId = FieldId(4);
const DRONES: u16 = 40;
/// As long as the ring of published ticks, and one rest of each drone.
const WARM_TICKS: u32 = 400;
const TICKS: u32 = 400;
const SNAPSHOT_TICKS: u32 = 3;
const KEPT_TICKS: u32 = 16;

fn schema() -> Arc<Schema> {
    let field = Field::new;
    let bounds = [-100.0..=100.0, -100.0..=100.0, -100.0..=100.0];
    let fields = [
        field(POSITION, "position", FieldType::position(bounds, 0.01)),
        field(VELOCITY, "velocity", FieldType::velocity(POSITION, 60.0, 0.01)),
        field(ROTATION, "rotation", FieldType::rotation(11)),
        field(CHARGE, "charge", FieldType::integer(0..=100)).rate_hz(10),
        field(SECRET, "secret", FieldType::integer(0..=1000)).owner_only(),
    ];
    Schema::builder("allocations").kind(Kind::new(DRONE, "drone", fields)).build().unwrap()
}

/// Drones on circles, each of which stands still for a while now and then.
fn save(tick: u32, tables: &mut Tables) {
    tables.clear();
    for slot in (0..DRONES).rev() {
        let phase = tick + 37 * u32::from(slot);
        // Sixty of three hundred ticks it stands.
        let moving = phase / 300 * 240 + (phase % 300).min(240);
        let angle = moving as f32 * 0.02 + f32::from(slot);
        let on = Vec2::from_angle(angle);
        let speed = if phase % 300 < 240 { 40.0 * 0.02 * 60.0 } else { 0.0 };
        let mut row = tables.insert(DRONE, RowHead::new(EntityId { slot, generation: 1 }));
        row.set_vec3(POSITION, on.extend(0.1) * 40.0)
            .set_vec3(VELOCITY, on.perp().extend(0.0) * speed)
            .set_rotation(ROTATION, Quat::from_rotation_y(angle))
            .set_integer(CHARGE, (moving / 9 % 100) as i32)
            .set_integer(SECRET, (tick % 1000) as i32);
    }
    tables.finish();
}

/// A room with one receiver, and all buffers that both reuse.
struct Room {
    history: History,
    tables: Tables,
    codec: Codec,
    plan: BodyPlan,
    rows: RowCache,
    body: EncodedBody,
    payload: Vec<u8>,
    replica: Replica,
    decoded: DecodedSnapshot,
    told: usize,
}

impl Room {
    fn new(coder: Coder) -> Self {
        let (schema, rate) = (schema(), TickRate::new(60).unwrap());
        Self {
            history: History::new(schema.clone(), rate),
            tables: Tables::new(schema.clone()),
            codec: Codec::with(schema.clone(), rate, coder, Prior::default_prior()),
            plan: BodyPlan::default(),
            rows: RowCache::default(),
            body: EncodedBody::default(),
            payload: Vec::new(),
            replica: Replica::new(schema, KEPT_TICKS),
            decoded: DecodedSnapshot::default(),
            told: 0,
        }
    }

    fn tick(&mut self, tick: u32) {
        save(tick, &mut self.tables);
        self.history.publish(Tick(tick), &self.tables);
        if !tick.is_multiple_of(SNAPSHOT_TICKS) {
            return;
        }
        let mut against = References::NONE;
        for back in (1..=3).map(|snapshots| snapshots * SNAPSHOT_TICKS).take_while(|back| *back <= tick) {
            against.push(Tick(tick - back));
        }
        plan(&self.history, against, &mut self.plan.section);
        self.told += self.plan.section.rows.len();
        self.send(Tick(tick), if against.is_empty() { TickWidth::Full } else { TickWidth::Near });
    }

    fn send(&mut self, tick: Tick, tick_width: TickWidth) {
        let Self { history, codec, rows, body, payload, replica, decoded, .. } = self;
        let header = SnapshotHeader { tick, tick_width, sequence: None, feedback: None, own_is_whole: false };
        codec.write_body(history, &self.plan, &|_| None, BODY_BYTES_MAX, rows, body);
        payload.clear();
        codec.write_snapshot(&header, history, &SectionPlan::default(), 0, None, body, rows, payload);
        codec.read_snapshot(payload, tick, replica, decoded).unwrap();
        replica.apply(decoded);
        assert_eq!(replica.drain_changes().count() > 0, tick_width == TickWidth::Full);
    }
}

/// Everything that changed since the newest of the ticks.
fn plan(history: &History, against: References, plan: &mut SectionPlan) {
    plan.clear();
    plan.against = against;
    let newest = history.newest().map(Published::tick).unwrap();
    for row in 0..u32::from(DRONES) {
        let planned = PlannedRow { kind: DRONE, row, sight: Sight::Public, references: against };
        let changed = history.track(DRONE, row as usize).changed(Sight::Public);
        assert!(!changed.is_newer_than(newest));
        if against.newest().is_none_or(|baseline| changed.is_newer_than(baseline)) {
            plan.rows.push(planned);
        }
        if !against.is_empty() {
            plan.held.push(planned);
        }
    }
}

#[test]
fn nothing_is_allocated_once_warm() {
    for coder in [Coder::Dense, Coder::Fast] {
        let mut room = Room::new(coder);
        (0..WARM_TICKS).for_each(|tick| room.tick(tick));
        let warm = room.told;
        let allocated = allocation_counter::measure(|| {
            for tick in WARM_TICKS..WARM_TICKS + TICKS {
                room.tick(tick);
            }
        });
        let told = room.told - warm;
        assert!(
            (1_000..usize::from(DRONES) * (TICKS / SNAPSHOT_TICKS) as usize).contains(&told),
            "{told} rows"
        );
        assert_eq!(allocated.count_total, 0, "{coder:?}");
        let (hash, rows) = room.replica.digest();
        assert_eq!(rows, usize::from(DRONES));
        assert_ne!(hash, 0);
    }
}
