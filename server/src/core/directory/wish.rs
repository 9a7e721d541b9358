//! What a wish finds, and what it opens.

use tickwire_protocol::RoomId;
use tickwire_protocol::handshake::{NewRoom, RejectReason, Role, RoomSecret, RoomWish};

use super::{Applicant, Directory, Entry, Opened, RoomOpening};

impl Directory {
    /// The room that is wished for, if it is there and lets in who wishes for it.
    pub(super) fn find(
        &self,
        wish: &RoomWish,
        role: Role,
        applicant: Applicant<'_>,
    ) -> Result<Option<RoomId>, RejectReason> {
        let may_be_in = |room: &Entry| applicant.may_be_in(&room.summary.name, role);
        match wish {
            RoomWish::Any => Ok(self.fullest(role, |room| room.is_for_anybody() && may_be_in(room))),
            RoomWish::Named(name) => self.named(name, None),
            RoomWish::Existing { name, secret } => self.named(name, secret.as_ref()),
            RoomWish::Matching { filter, otherwise } => {
                let is_wanted =
                    |room: &Entry| room.secret.is_none() && filter.matches(&room.summary) && may_be_in(room);
                match (self.fullest(role, is_wanted), otherwise) {
                    (None, Some(room)) => self.in_place_of(room),
                    (found, _) => Ok(found),
                }
            }
            RoomWish::New(room) => self.in_place_of(room),
        }
    }

    /// What is opened for a wish that has found nothing.
    pub(super) fn to_open(
        &self,
        wish: &RoomWish,
        role: Role,
        applicant: Applicant<'_>,
    ) -> Result<(NewRoom, Opened), RejectReason> {
        let is_by_wish = self.config.opening == RoomOpening::Wished;
        let may_open = |name: &str| is_by_wish && applicant.identity.may("open", name);
        let room = match wish {
            RoomWish::Any if self.config.opening == RoomOpening::Never => {
                return Err(self.no_place(role, applicant));
            }
            RoomWish::Any => return Ok((NewRoom::default(), Opened::ForAnybody)),
            RoomWish::Named(name) if name.is_empty() => return Err(RejectReason::BadRoomName),
            RoomWish::Named(name) if may_open(name) => NewRoom { name: name.clone(), ..NewRoom::default() },
            RoomWish::New(room) | RoomWish::Matching { otherwise: Some(room), .. } => {
                if !may_open(&room.name) {
                    return Err(RejectReason::Forbidden { action: "open".to_owned() });
                }
                room.clone()
            }
            RoomWish::Named(_) | RoomWish::Existing { .. } | RoomWish::Matching { .. } => {
                return Err(RejectReason::NoSuchRoom);
            }
        };
        Ok((room, Opened::ByWish))
    }

    /// The room of a name, for those who know its secret: a public room has none, and wants none told.
    fn named(&self, name: &str, secret: Option<&RoomSecret>) -> Result<Option<RoomId>, RejectReason> {
        let Some(&id) = self.names.get(name) else { return Ok(None) };
        let is_right = self.rooms.get(&id).is_some_and(|room| room.secret.as_ref() == secret);
        if is_right { Ok(Some(id)) } else { Err(RejectReason::WrongSecret) }
    }

    /// The room that has the name of a new one already, if it is as good.
    fn in_place_of(&self, room: &NewRoom) -> Result<Option<RoomId>, RejectReason> {
        if room.or_join {
            self.named(&room.name, room.secret.as_ref())
        } else if self.names.contains_key(&room.name) {
            Err(RejectReason::RoomExists)
        } else {
            Ok(None)
        }
    }

    /// Why somebody does not get in who does not care where, where no room is opened.
    fn no_place(&self, role: Role, applicant: Applicant<'_>) -> RejectReason {
        let for_anybody = || self.rooms.values().filter(|room| room.is_for_anybody());
        let may_be_in = |room: &&Entry| applicant.may_be_in(&room.summary.name, role);
        let places = for_anybody().filter(may_be_in).map(|room| self.places(room, role));
        if let Some((players, max)) =
            places.reduce(|(taken, max), room| (taken + room.0, max.saturating_add(room.1)))
        {
            return RejectReason::ServerFull { players, max };
        }
        let forbidden =
            for_anybody().find_map(|room| applicant.identity.check_role(role, &room.summary.name).err());
        forbidden.unwrap_or(RejectReason::NoSuchRoom)
    }
}
