//! What to draw: the world at one moment in the past, between the states that are known around it.

use bytes::Bytes;
use glam::{Quat, Vec2, Vec3};
use tickwire_protocol::schema::{Field, FieldId, Interpolation, Kind};
use tickwire_protocol::{EntityId, KindId, Micros, RowRef, Tick, TickTime};
use tickwire_sim::blend as interpolation;

use super::pose::{self, Pose, Sampled};
use super::prediction::Offsets;
use super::session::Session;
use super::timeline::Timeline;

/// The world at one moment, as far as this client is told ([`Client::view`](crate::Client::view)), or the player's own entities as
/// they are predicted ([`Client::predicted`](crate::Client::predicted)).
///
/// Everything in it is of that one moment: each entity is shown between its own two states around it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    moment: Moment,
    whose: Whose,
    /// Nothing before the welcome.
    session: Option<&'a Session>,
}

/// Of whom a view is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Whose {
    /// Of all who are told of.
    All,
    /// Of the player's own entities, ahead of the server.
    Predicted,
}

/// The moment of a view.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// On the client's clock.
    pub(crate) now: Micros,
    pub(crate) server_time: Micros,
    pub(crate) time: TickTime,
    pub(crate) is_starved: bool,
}

impl<'a> View<'a> {
    pub(crate) fn new(session: Option<&'a Session>, whose: Whose, moment: Moment) -> Self {
        Self { moment, whose, session }
    }

    /// The moment, on the server's clock.
    pub fn server_time(&self) -> Micros {
        self.moment.server_time
    }

    /// The same moment in ticks.
    pub fn tick_time(&self) -> TickTime {
        self.moment.time
    }

    /// Whether nothing is known of this moment yet: everything is held as it was last told.
    pub fn is_starved(&self) -> bool {
        self.moment.is_starved
    }

    /// The entities of a kind that are in view, in ascending id.
    pub fn entities(&self, kind: KindId) -> impl Iterator<Item = EntityView<'a>> + use<'a> {
        let Self { moment: Moment { time, now, .. }, whose, session } = *self;
        let mut told = session.filter(|_| whose == Whose::All).map(|session| {
            (session.schema().kind(kind), session.shared(time), session.stage().timelines(kind))
        });
        let predicted = session.filter(|_| whose == Whose::Predicted).and_then(Session::prediction);
        let mut own = predicted.map(|own| own.views(kind, time, now));
        // One or the other: a chain of both would be asked twice for each.
        core::iter::from_fn(move || match &mut told {
            Some((shape, shared, timelines)) => loop {
                let view = EntityView::new(shape, kind, timelines.next()?, *shared);
                if view.is_some() {
                    return view;
                }
            },
            None => own.as_mut()?.next(),
        })
    }

    /// Panics if more is kept than may be.
    pub(crate) fn check(&self) {
        self.session.into_iter().for_each(|session| session.stage().check());
    }

    /// All entities in view, kind by kind.
    pub fn all(&self) -> impl Iterator<Item = EntityView<'a>> + use<'a> {
        let view = *self;
        let kinds = view.session.map_or(0, |session| session.schema().kinds().len());
        (0..kinds).flat_map(move |kind| view.entities(KindId(kind as u8)))
    }

    /// The entity with this id, if it is in view.
    pub fn find(&self, id: EntityId) -> Option<EntityView<'a>> {
        let (session, Moment { time, now, .. }) = (self.session?, self.moment);
        if self.whose == Whose::Predicted {
            return session.prediction()?.find(id, time, now);
        }
        let (kind, timeline) = session.stage().find(id)?;
        EntityView::new(session.schema().kind(kind), kind, timeline, session.shared(time))
    }
}

/// One entity of a [`View`].
///
/// Fields are read as from a [`RowRef`], and between two states as the schema says: held, or on the way from the older
/// to the newer. The getters panic if the field does not exist or is of another type.
///
/// A field that this client is not told reads 0, or the bound nearest to it; [`EntityView::is_told`] tells it from a
/// real 0. **The fields of the owner alone are never told in the view of all**, not even of the player's own entities: those are in
/// [`Client::predicted`](crate::Client::predicted), [`Client::own_row`](crate::Client::own_row) and
/// [`Client::own`](crate::Client::own).
#[derive(Clone, Copy, Debug)]
pub struct EntityView<'a> {
    kind_id: KindId,
    pose: Pose<'a>,
    /// The player's entities; nothing if all are.
    own: Option<&'a [EntityId]>,
    /// What is left of corrections at a time on the client's clock.
    offsets: Option<(&'a Offsets, Micros)>,
}

/// What the entities of a view have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) time: TickTime,
    /// Seconds a tick.
    pub(crate) dt: f32,
    /// Ticks between two states.
    pub(crate) interval: u32,
    /// The player's entities; nothing if all are.
    pub(crate) own: Option<&'a [EntityId]>,
}

impl<'a> EntityView<'a> {
    #[inline]
    pub(crate) fn new(
        kind: &'a Kind,
        kind_id: KindId,
        timeline: &'a Timeline,
        shared: Shared<'a>,
    ) -> Option<Self> {
        let Shared { time, dt, interval, own } = shared;
        let pose = Pose::at(kind, timeline, time, interval, dt)?;
        Some(Self { kind_id, pose, own, offsets: None })
    }

    /// Shown with what is left of corrections.
    pub(crate) fn with_offsets(self, offsets: &'a Offsets, now: Micros) -> Self {
        Self { offsets: Some((offsets, now)), ..self }
    }

    /// Which.
    pub fn id(&self) -> EntityId {
        self.pose.timeline.id()
    }

    /// Of which kind.
    pub fn kind(&self) -> KindId {
        self.kind_id
    }

    /// The bytes that it was spawned with; nothing if it was with none.
    pub fn payload(&self) -> Option<&'a Bytes> {
        self.pose.timeline.payload()
    }

    /// Whether it belongs to this client's player: [`Client::own`](crate::Client::own) has it newer and in full.
    pub fn is_own(&self) -> bool {
        self.own.is_none_or(|own| own.contains(&self.id()))
    }

    /// Whether this client is told the field of this entity, at this moment; if not, its getter gives 0, or the bound
    /// nearest to it. Fields of the team come and go with who is in it; fields of the owner alone are never told here,
    /// see [`Client::own_row`](crate::Client::own_row). Panics if the field does not exist.
    pub fn is_told(&self, id: FieldId) -> bool {
        self.pose.held().columns.contains(self.field(id).columns().start)
    }

    /// The newest state that is known, later than this view. What is not told in it reads as in the getters.
    pub fn latest(&self) -> RowRef<'a> {
        // What is in view has a state; the one that lasts is one.
        self.pose.timeline.newest(self.pose.kind).map_or_else(|| self.pose.held().row, |(_, row)| row)
    }

    /// The tick of [`EntityView::latest`]. It may be long ago: what does not change is not sent.
    pub fn latest_tick(&self) -> Option<Tick> {
        self.pose.timeline.newest(self.pose.kind).map(|(tick, _)| tick)
    }

    /// A vector of 1 to 3 axes; axes that the field does not have are 0.
    pub fn vec3(&self, id: FieldId) -> Vec3 {
        let field = self.field(id);
        if pose::is_vector(field) && field.interpolation != Interpolation::Hold {
            let known = self.pose.vector(field);
            return self.offsets.map_or(known, |(offsets, now)| known + offsets.vector(id, now));
        }
        match self.pose.sample(field) {
            Sampled::At(row) => row.vec3_of(field),
            Sampled::Between(from, to, fraction) => from.vec3_of(field).lerp(to.vec3_of(field), fraction),
        }
    }

    /// Whether it is shown where nothing is known, beyond its newest state or before it is moved: it goes on as it went, ever slower,
    /// for a second at most.
    pub fn is_guessed(&self) -> bool {
        self.pose.is_guessed()
    }

    #[inline]
    fn field(&self, id: FieldId) -> &'a Field {
        self.pose.kind.field(id)
    }

    /// The first two axes of a vector.
    pub fn vec2(&self, id: FieldId) -> Vec2 {
        self.vec3(id).truncate()
    }

    /// A scalar, or a vector of one axis. For what only the owner is told, as stamina often is, read
    /// [`Client::own_row`](crate::Client::own_row): here it is 0.
    pub fn scalar(&self, id: FieldId) -> f32 {
        match self.pose.sample(self.field(id)) {
            Sampled::At(row) => row.scalar(id),
            Sampled::Between(from, to, fraction) => {
                interpolation::scalar(from.scalar(id), to.scalar(id), fraction)
            }
        }
    }

    /// An angle in radians, from -π to π.
    pub fn angle(&self, id: FieldId) -> f32 {
        let known = match self.pose.sample(self.field(id)) {
            Sampled::At(row) => row.angle(id),
            Sampled::Between(from, to, fraction) => {
                interpolation::angle(from.angle(id), to.angle(id), fraction)
            }
        };
        self.offsets.map_or(known, |(offsets, now)| offsets.angle(id, now, known))
    }

    /// A rotation of unit length.
    pub fn rotation(&self, id: FieldId) -> Quat {
        let field = self.field(id);
        let known = match self.pose.sample(field) {
            Sampled::At(row) => row.rotation_of(field),
            Sampled::Between(from, to, fraction) => {
                interpolation::rotation(from.rotation_of(field), to.rotation_of(field), fraction)
            }
        };
        self.offsets.map_or(known, |(offsets, now)| offsets.rotation(id, now, known))
    }

    /// An integer; always held. For what only the owner is told, as ammunition often is, read
    /// [`Client::own_row`](crate::Client::own_row): here it is 0.
    pub fn integer(&self, id: FieldId) -> i32 {
        self.pose.held().row.integer(id)
    }

    /// An integer that is not zero; always held.
    pub fn boolean(&self, id: FieldId) -> bool {
        self.pose.held().row.boolean(id)
    }

    /// The entity referred to, if any; always held. It may be one that is not in view.
    pub fn entity(&self, id: FieldId) -> Option<EntityId> {
        self.pose.held().row.entity(id)
    }
}
