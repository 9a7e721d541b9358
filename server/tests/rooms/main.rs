//! What a room tells beside its world, with clients in virtual time: who is in it, how its
//! match stands, which of them belong together, whom the game lets in, and who has to go.

mod admission;
mod dismissals;
mod groups;
mod hall;
mod marshal;
mod match_state;
mod members;
