//! A connection for `target::postgres`, which speaks to the server in statements of its own.
//!
//! It is opened as a [`super::Session`] is, and its errors are told in the same words; what is done with it, and that
//! a reading one stays so, is up to its owner.

use std::fmt;

use ::postgres::{CancelToken, Client};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::cause::{Cause, Secrets};
use super::{ConnectOptions, connect};
use crate::url::PostgresUrl;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Every transaction is read-only unless it says otherwise.
    Read,
    /// Transactions can write.
    Write,
}

/// An open connection outside any transaction.
pub(crate) struct Connection {
    /// The driver's own client.
    pub(crate) client: Client,
    secrets: Secrets,
    connector: MakeRustlsConnect,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects. Statements that row-level security would make incomplete fail instead; `settings` are further ones,
    /// each as `-c name=value`.
    pub(crate) fn open(
        url: &PostgresUrl,
        options: &ConnectOptions,
        access: Access,
        settings: &str,
    ) -> Result<Self, Cause> {
        let read_only = if access == Access::Read { "on" } else { "off" };
        let settings = format!(
            "-c default_transaction_read_only={read_only} -c row_security=off -c standard_conforming_strings=on \
             {settings}"
        );
        let (client, secrets, connector) = connect::open(url, options, settings.trim_end(), "")?;
        Ok(Self { client, secrets, connector })
    }

    /// Something that ends the statement at work, from beside it.
    pub(crate) fn canceller(&self) -> Canceller {
        Canceller { token: self.client.cancel_token(), connector: self.connector.clone() }
    }

    /// What went wrong, without credentials and without what rows hold.
    pub(crate) fn cause(&self, error: &::postgres::Error) -> Cause {
        Cause::discreet(error, &self.secrets)
    }
}

/// A way to end a statement that is at work.
pub(crate) struct Canceller {
    token: CancelToken,
    connector: MakeRustlsConnect,
}

impl Canceller {
    /// Asks the server to end the statement; it may come too late.
    pub(crate) fn cancel(&self) {
        // Without it the statement runs to its end, which is what would have happened anyway.
        let _ = self.token.cancel_query(self.connector.clone());
    }
}
