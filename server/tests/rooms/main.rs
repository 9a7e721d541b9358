//! What a room tells beside its world, with clients in virtual time: who is in it, and how its
//! match stands, and which of them belong together.

mod groups;
mod hall;
mod match_state;
mod members;
