//! What a client is told before it starts.

use std::sync::Arc;

use tickwire_protocol::handshake::{Extension, Features, Hello, Role, RoomWish, StreamKind};
use tickwire_protocol::message::QueueLimits;
use tickwire_protocol::room::{Introduction, Profile};
use tickwire_protocol::snapshot::Prior;
use tickwire_protocol::{DecodeError, Micros, Schema};

use super::reconnect::Reconnect;
use super::saved::SavedSession;
use super::tokens::TokenProvider;

/// Who the client is, what it wants, and the few things that it decides itself. Everything else comes with the
/// server's welcome.
///
/// ```
/// use tickwire_client::ClientConfig;
/// use tickwire_protocol::handshake::RoomWish;
///
/// let config = ClientConfig { room: RoomWish::Named("duel".into()), ..ClientConfig::new("mygame 1.2") };
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The game's own version, for the server's policy and its log; at most 64 bytes.
    pub game_build: String,
    /// Where the client runs; at most 64 bytes.
    pub platform: String,
    /// The room wanted. A client that has had one opened as [new](RoomWish::New) wants to be in that very room when it comes back.
    pub room: RoomWish,
    /// A player, or one who watches.
    pub role: Role,
    /// What the other members of the room are told of this one: see [`Client::members`](crate::Client::members).
    pub profile: Profile,
    /// Asked for the token of each hello; absent: the client is a guest, or its transport brings the token, as `net::Options::tokens`
    /// does. A hello takes a token of at most 1,533 bytes, less what
    /// [`ClientConfig::extensions`] leave no room for.
    pub tokens: Option<TokenProvider>,
    /// What carries the frames.
    pub stream: StreamKind,
    /// Priors that the client has beside the default one; at most 7. A room that has another sends it with its welcome:
    /// who keeps [`Client::prior`](crate::Client::prior) for the next time saves some 50 KB there.
    pub priors: Vec<Arc<Prior>>,
    /// What the client can do beside the rest of this version.
    pub features: Features,
    /// What else the hello says, in ascending id.
    pub extensions: Vec<Extension>,
    /// Input frames a second, at least 1; absent: one a tick. Fewer frames cost less and make inputs wait longer.
    pub input_hz: Option<u32>,
    /// How far behind the server's time others are shown, at most 126 ticks; absent: as far as the link needs, which is
    /// measured. The server's advice counts until then.
    pub interpolation_delay: Option<Micros>,
    /// How long connecting may take, up to the welcome.
    pub connect_timeout: Micros,
    /// How the client comes back when a connection that was welcomed is lost: as [`Reconnect::default`] says, unless another way is
    /// wanted. With `None` it does not come back, and the loss is the end.
    pub reconnect: Option<Reconnect>,
    /// Whether a client that comes back and is told that its session is over plays on in the new one. If not, that is the end:
    /// [`DisconnectReason::SessionOver`](crate::DisconnectReason::SessionOver).
    pub rejoin: bool,
    /// What may wait here to be sent, and on its way.
    pub queue: QueueLimits,
    /// The session that is to go on, of a client that was before this one; see [`Client::export_session`](crate::Client::export_session).
    /// A first connection that fails for what may pass is tried anew then, as one that was lost.
    pub session: Option<SavedSession>,
    /// Where the chance comes from that spreads attempts to come back: another number on each machine, or all clients of a server that
    /// starts anew come in one wave. `net` draws one where it is 0.
    pub seed: u64,
}

/// The versions of a room's tables that the client was told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TableVersions {
    pub(crate) members: u64,
    pub(crate) match_state: u64,
    pub(crate) groups: u64,
}

impl ClientConfig {
    /// A player on an ordered stream who goes to any room, and comes back when its connection is lost.
    pub fn new(game_build: &str) -> Self {
        use std::env::consts::{ARCH, OS};
        Self {
            game_build: game_build.to_owned(),
            platform: format!("{ARCH}-{OS}"),
            room: RoomWish::Any,
            role: Role::Player,
            profile: Profile::default(),
            tokens: None,
            stream: StreamKind::Ordered,
            priors: Vec::new(),
            features: Features::NONE,
            extensions: Vec::new(),
            input_hz: None,
            interpolation_delay: None,
            connect_timeout: Micros::from_secs(10),
            reconnect: Some(Reconnect::default()),
            rejoin: true,
            queue: QueueLimits::default(),
            session: None,
            seed: 0,
        }
    }

    /// What a server would refuse the hello for, whatever its token is: to be asked where its texts come from outside.
    pub fn check(&self) -> Result<(), DecodeError> {
        self.hello(0, TableVersions::default()).check()
    }

    /// What to say first. `told` is what the client was told of the room's tables, `own` what the session has to say.
    pub(crate) fn hello_for(
        &self,
        schema: &Schema,
        own: impl IntoIterator<Item = Extension>,
        told: TableVersions,
    ) -> Hello {
        let mut hello = self.hello(schema.hash(), told);
        hello.extensions.extend(own);
        self.signed(hello)
    }

    /// With the token of now, if there is one.
    fn signed(&self, mut hello: Hello) -> Hello {
        let token = self.tokens.as_ref().and_then(TokenProvider::provide);
        hello.extensions.extend(token.map(|token| token.extension()));
        hello.extensions.sort_by_key(|extension| extension.id);
        hello
    }

    /// The prior with this hash, if the client has it.
    pub(crate) fn prior(&self, hash: u64) -> Option<Arc<Prior>> {
        let default = Prior::default_prior();
        self.priors.iter().chain([&default]).find(|prior| prior.hash() == hash).cloned()
    }

    /// The hello of one who does not know the game: the server tells it the schema in a welcome to no room, and closes.
    #[must_use]
    pub fn schema_hello(&self) -> Hello {
        let no_schema = 0;
        self.signed(self.hello(no_schema, TableVersions::default()))
    }

    /// The client is in the room of this name: one that was opened for it is not wanted a second time.
    pub(crate) fn note_room(&mut self, name: &str) {
        if let RoomWish::New(room) = &mut self.room {
            name.clone_into(&mut room.name);
            room.or_join = true;
        }
    }

    fn hello(&self, schema_hash: u64, told: TableVersions) -> Hello {
        let TableVersions { members, match_state, groups } = told;
        let introduction = Introduction { profile: self.profile.clone(), members, match_state, groups };
        // Ids of the engine's own come before those of the game.
        let extensions = [introduction.extension()].into_iter().chain(self.extensions.iter().cloned());
        let default = Prior::default_prior();
        Hello {
            schema_hash,
            priors: [&default].into_iter().chain(&self.priors).map(|prior| prior.hash()).collect(),
            features: self.features,
            game_build: self.game_build.clone(),
            platform: self.platform.clone(),
            room: self.room.clone(),
            role: self.role,
            stream: self.stream,
            extensions: extensions.collect(),
        }
    }
}
