//! The API that drains on other machines talk to, and a page that shows how a backlog stands.
//!
//! A server opens one database and says which; who works through it names the lineage with every call. What comes over
//! the network is the [`Store`](crate::phases::Store) and nothing more: claims are fenced in the database, whoever
//! speaks. A server listens on this machine only, or asks everybody for a token. This is the one place with async code;
//! a store is asked on threads for blocking work.

mod calls;
mod client;
mod connections;
mod page;
mod routes;
mod wire;

pub use client::{ApiOptions, ApiStore, health};
pub use connections::{Limits, ServeError, Server};
pub use routes::{Opener, Served};
pub use wire::Health;
pub(super) use wire::LINEAGE;
