//! What a room tells beside its world: who is in it, and how its match stands; and which rooms there are.
//!
//! ```text
//!  HELLO    extension 3: Introduction                     who comes, and what it has been told already
//!  MEMBERS  version | is anew | is whole | changes ...    the table of members, by change
//!  MATCH    the same of the match                         mode, round, status, scores
//!  GROUPS   the same of a player's groups                who it is together with, told to it alone
//!  PROFILE  name | data                                   a member calls itself otherwise
//!  LIST     filter | after | at most                      before a hello: which rooms are there?
//!  ROOMS    rooms ... | has more                          these
//! ```
//!
//! A table is state, not a queue of messages: what has changed since a reader was told last is told once, as it is now. So a reader that
//! was away costs a room nothing, and one that has lost its place is told the table anew. The reason is in docs/decisions/0017.

mod changes;
mod groups;
mod introduction;
mod listing;
mod match_state;
mod members;
mod profile;
mod table;

pub use changes::ChangeLog;
pub use groups::{GroupChange, GroupsFrame};
pub use introduction::Introduction;
pub use listing::{ListRooms, RoomFilter, RoomList, RoomSummary};
pub use match_state::{MatchChange, MatchFrame, MatchInfo, MatchStatus, Score};
pub use members::{LeaveReason, MemberChange, MembersFrame};
pub use profile::Profile;
pub use table::{TableChange, TableFrame, TableHead};
