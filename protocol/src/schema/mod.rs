//! The schema: what a room's entities, cues and inputs are made of.
//!
//! A schema has **kinds** (player, projectile, door...). A kind is a list of fields; a field becomes one or more
//! columns of quantized `i32`. Cues (facts of the moment) and the input of a player are described in the same way.
//! Server and client must hold the same schema: the hello carries its [hash](Schema::hash).
//!
//! ```
//! use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, Schema};
//!
//! const BALL: KindId = KindId(0);
//! const POSITION: FieldId = FieldId(0);
//! const VELOCITY: FieldId = FieldId(1);
//!
//! let schema = Schema::builder("pong")
//!     .kind(Kind::new(BALL, "ball", [
//!         Field::new(POSITION, "position", FieldType::position([-8.0..=8.0, -4.5..=4.5], 0.01)),
//!         Field::new(VELOCITY, "velocity", FieldType::velocity(POSITION, 20.0, 0.02)),
//!     ]))
//!     .build()?;
//! assert_eq!(schema.kind(BALL).column_count(), 4);
//! # Ok::<(), tickwire_protocol::schema::SchemaError>(())
//! ```

mod compile;
mod field;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use field::{Audience, Field, FieldId, FieldType, Interpolation, RotationLattice};

use crate::cold;
use crate::fault::DecodeError;
use crate::hash::bytes_hash;
use crate::limits::SCHEMA_BYTES_MAX;
use crate::message::{MessageType, MessageTypeId};

/// Which kind of entity of a schema: its place in the declaration.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct KindId(pub u8);

/// Which cue of a schema: its place in the declaration.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct CueId(pub u8);

/// Everything about the data of a game that server and client must agree on. Immutable, shared.
#[derive(Clone, Debug)]
pub struct Schema {
    declaration: Declaration,
    encoded: Vec<u8>,
    hash: u64,
}

/// What is written by the game and sent to tools; the rest of a [`Schema`] follows from it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Declaration {
    #[serde(deserialize_with = "cold::text")]
    name: String,
    #[serde(deserialize_with = "cold::list")]
    kinds: Vec<Kind>,
    #[serde(deserialize_with = "cold::list")]
    cues: Vec<Kind>,
    input: Kind,
    #[serde(deserialize_with = "cold::list")]
    messages: Vec<MessageType>,
}

/// A kind of entity, a cue or an input: named fields, and the columns that they become.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Kind {
    index: u8,
    #[serde(deserialize_with = "cold::text")]
    name: String,
    #[serde(deserialize_with = "cold::list")]
    fields: Vec<Field>,
    #[serde(skip)]
    columns: Vec<Column>,
    /// A row of which nothing is known: zeros, or the bound nearest to it.
    #[serde(skip)]
    blank: Vec<i32>,
    #[serde(skip)]
    coding_order: Vec<FieldId>,
    #[serde(skip)]
    masks: AudienceMasks,
    #[serde(skip)]
    is_lazy: bool,
}

/// One column of a kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Column {
    /// Least value.
    pub min: i32,
    /// Greatest value.
    pub max: i32,
    /// Bits that hold any value from `min` to `max`.
    pub bits: u32,
    /// Whether `max + 1` is `min` again (angles).
    pub wraps: bool,
    /// A new value is published only if it differs by at least this many steps from the published one.
    pub threshold: u32,
    /// Published at most this often, in hertz.
    pub rate_hz: Option<u16>,
}

/// Columns per audience, a bit each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct AudienceMasks {
    all: u64,
    team: u64,
    owner: u64,
    /// Not told to others as it is simulated, but not at all or later; and what drives that.
    beside: u64,
}

/// Which columns of a row are meant: a bit each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ColumnMask(pub u64);

impl ColumnMask {
    /// Whether this column is meant.
    pub fn contains(self, column: usize) -> bool {
        self.0 >> column & 1 != 0
    }

    /// The columns meant, in ascending order.
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let first = left.trailing_zeros();
            left &= left.checked_sub(1)?;
            Some(first as usize)
        })
    }
}

/// What a peer sees of a row.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Sight {
    /// The fields for all.
    #[default]
    Public,
    /// Those, and the fields for the team.
    Team,
    /// Everything: the row is the peer's own.
    Own,
    /// What the owner gets beside everyone's row of its entity, in the same snapshot: what that does not tell, or not exactly.
    Beside,
}

impl Sight {
    /// All of them, each at its place.
    pub(crate) const ALL: [Self; 4] = [Self::Public, Self::Team, Self::Own, Self::Beside];

    /// Whether it is the owner's, who gets exact values.
    pub(crate) const fn is_own(self) -> bool {
        matches!(self, Self::Own | Self::Beside)
    }
}

impl Kind {
    /// A kind of entity: `id` must be its place among the kinds, each field's id its place among the fields.
    pub fn new(id: KindId, name: &str, fields: impl IntoIterator<Item = Field>) -> Self {
        Self::declare(id.0, name, fields.into_iter().collect())
    }

    /// A cue; `id` must be its place among the cues.
    pub fn cue(id: CueId, name: &str, fields: impl IntoIterator<Item = Field>) -> Self {
        Self::declare(id.0, name, fields.into_iter().collect())
    }

    fn declare(index: u8, name: &str, fields: Vec<Field>) -> Self {
        Self {
            index,
            name: name.to_owned(),
            fields,
            columns: Vec::new(),
            blank: Vec::new(),
            coding_order: Vec::new(),
            masks: AudienceMasks::default(),
            is_lazy: false,
        }
    }

    /// The columns of a row of which nothing is known.
    pub(crate) fn blank(&self) -> &[i32] {
        &self.blank
    }

    /// Whether there are columns that not everyone sees.
    pub(crate) fn hides_columns(&self) -> bool {
        self.visible(Sight::Public) != self.visible(Sight::Own)
    }

    /// Its place in the schema.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its fields in the order of their ids.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field with this id.
    ///
    /// # Panics
    /// If the kind has no such field: a mistake of the game's code, never of a peer's bytes.
    pub fn field(&self, id: FieldId) -> &Field {
        match self.fields.get(usize::from(id.0)) {
            Some(field) => field,
            None => panic!("kind `{}` has {} fields, no field {}", self.name, self.fields.len(), id.0),
        }
    }

    /// Its columns, field by field.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many columns a row has.
    pub fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Fields in the order in which a row is coded: velocities before what they move.
    pub fn coding_order(&self) -> impl Iterator<Item = &Field> {
        self.coding_order.iter().map(|&id| self.field(id))
    }

    /// The velocity field that drives `field`, if one does.
    pub fn velocity_of(&self, field: FieldId) -> Option<&Field> {
        self.field(field).driver.map(|driver| self.field(driver))
    }

    /// The columns that a peer with this sight gets.
    pub fn visible(&self, sight: Sight) -> ColumnMask {
        ColumnMask(match sight {
            Sight::Public => self.masks.all,
            Sight::Team => self.masks.all | self.masks.team,
            Sight::Own => self.masks.all | self.masks.team | self.masks.owner,
            Sight::Beside => self.masks.beside,
        })
    }

    /// The columns that a peer with this sight does not get.
    pub(crate) fn hidden(&self, sight: Sight) -> ColumnMask {
        ColumnMask(self.visible(Sight::Own).0 & !self.visible(sight).0)
    }

    /// The columns of which a row that is told to a whole team has the exact values.
    pub(crate) fn shared(&self) -> ColumnMask {
        ColumnMask(self.visible(Sight::Team).0 & !self.visible(Sight::Beside).0)
    }

    /// Whether a row of this kind shows more to its team than to everyone.
    pub fn has_team_fields(&self) -> bool {
        self.masks.team != 0
    }

    /// Whether published values may stay behind simulated ones (some field has a rate or a threshold).
    pub fn is_lazy(&self) -> bool {
        self.is_lazy
    }
}

impl Schema {
    /// Starts a declaration.
    pub fn builder(name: &str) -> SchemaBuilder {
        SchemaBuilder(Declaration {
            name: name.to_owned(),
            kinds: Vec::new(),
            cues: Vec::new(),
            input: Kind::declare(0, "input", Vec::new()),
            messages: Vec::new(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.declaration.name
    }

    /// The kinds of entities.
    pub fn kinds(&self) -> &[Kind] {
        &self.declaration.kinds
    }

    /// The kind with this id.
    ///
    /// # Panics
    /// If the schema has no such kind: a mistake of the game's code, never of a peer's bytes.
    pub fn kind(&self, id: KindId) -> &Kind {
        match self.kinds().get(usize::from(id.0)) {
            Some(kind) => kind,
            None => panic!("schema `{}` has {} kinds, no kind {}", self.name(), self.kinds().len(), id.0),
        }
    }

    /// The cues.
    pub fn cues(&self) -> &[Kind] {
        &self.declaration.cues
    }

    /// The cue with this id.
    ///
    /// # Panics
    /// If the schema has no such cue: a mistake of the game's code, never of a peer's bytes.
    pub fn cue(&self, id: CueId) -> &Kind {
        match self.cues().get(usize::from(id.0)) {
            Some(cue) => cue,
            None => panic!("schema `{}` has {} cues, no cue {}", self.name(), self.cues().len(), id.0),
        }
    }

    /// What a player's input for one tick is made of.
    pub fn input(&self) -> &Kind {
        &self.declaration.input
    }

    /// The types of messages.
    pub fn messages(&self) -> &[MessageType] {
        &self.declaration.messages
    }

    /// The message type with this id, if there is one.
    pub fn message(&self, id: MessageTypeId) -> Option<&MessageType> {
        self.messages().get(usize::from(id.0))
    }

    /// Names the schema: equal on both sides exactly if the encodings are.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The whole declaration in bytes, as sent to tools that ask for it.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Reads a schema from [`Schema::encoded`] bytes and checks it like one declared in code.
    pub fn decode(bytes: &[u8]) -> Result<Arc<Self>, DecodeError> {
        if bytes.len() > SCHEMA_BYTES_MAX {
            let (value, limit) = (bytes.len() as u64, SCHEMA_BYTES_MAX as u64);
            return Err(DecodeError::TooLarge { what: "schema", value, limit });
        }
        let declaration: Declaration = cold::read(bytes, "schema")?;
        SchemaBuilder(declaration).build().map_err(|_| DecodeError::Damaged("schema"))
    }
}

/// Declares a schema step by step; [`SchemaBuilder::build`] checks it.
#[derive(Clone, Debug)]
pub struct SchemaBuilder(Declaration);

impl SchemaBuilder {
    /// Adds a kind of entity.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.0.kinds.push(kind);
        self
    }

    /// Adds a cue.
    pub fn cue(mut self, cue: Kind) -> Self {
        self.0.cues.push(cue);
        self
    }

    /// Declares what a player's input for one tick is made of.
    pub fn input(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.0.input.fields = fields.into_iter().collect();
        self
    }

    /// Adds a type of message.
    pub fn message(mut self, ty: MessageType) -> Self {
        self.0.messages.push(ty);
        self
    }

    /// Checks the declaration and lays out the columns.
    pub fn build(mut self) -> Result<Arc<Schema>, SchemaError> {
        compile::compile(&mut self.0)?;
        let encoded = cold::write(&self.0);
        if encoded.len() > SCHEMA_BYTES_MAX {
            return Err(SchemaError::TooLarge { bytes: encoded.len() });
        }
        let hash = bytes_hash(&encoded);
        Ok(Arc::new(Schema { declaration: self.0, encoded, hash }))
    }
}

/// What is wrong with a declared schema.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum SchemaError {
    /// A name is empty, too long, or not fit to be printed.
    #[error("name {0:?} must have 1 to 64 bytes, and no control characters")]
    Name(String),
    /// An id is not the place where its thing stands.
    #[error("`{name}` has id {id} but stands at place {place}: ids count from 0 in the order of declaration")]
    Misplaced {
        /// The kind, cue, field or message type.
        name: String,
        /// The id given.
        id: u16,
        /// Where it stands.
        place: usize,
    },
    /// Too many kinds, cues, fields or columns.
    #[error("`{of}` has {count} {what}, at most {limit} are allowed")]
    TooMany {
        /// Of what there are too many.
        what: &'static str,
        /// In which part of the schema.
        of: String,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Bounds or steps of a field make no lattice.
    #[error("field `{field}`: {reason}")]
    Field {
        /// Which field.
        field: String,
        /// What is wrong and what to do.
        reason: &'static str,
    },
    /// A message type asks for a permission that nobody can have.
    #[error("message `{name}` is permitted by `{action}`: it must have 1 to 64 bytes and no `@`")]
    Permission {
        /// The type's name.
        name: String,
        /// What it asks for.
        action: String,
    },
    /// A message type has a rate of nothing.
    #[error("message `{name}` has a rate that lets nothing through: at least 1 a minute, and 1 at once")]
    NoRate {
        /// The type's name.
        name: String,
    },
    /// A message type allows larger bodies than the wire does.
    #[error("message `{name}` allows {bytes} bytes, at most {limit} are allowed: split it")]
    MessageTooLarge {
        /// The type's name.
        name: String,
        /// What it allows.
        bytes: u32,
        /// The most that may be sent in its direction.
        limit: usize,
    },
    /// Clients tell no game events.
    #[error("event `{name}` must be declared ToClient: the server's game says what happened")]
    EventToServer {
        /// The type's name.
        name: String,
    },
    /// The encoded schema is too large.
    #[error("the encoded schema has {bytes} bytes, at most {SCHEMA_BYTES_MAX} are allowed: shorten names")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}
