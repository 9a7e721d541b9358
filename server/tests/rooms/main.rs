//! What a room tells beside its world, with clients in virtual time: who is in it.

mod hall;
mod members;
