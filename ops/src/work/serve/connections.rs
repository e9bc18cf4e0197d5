//! The server: listens, bears so many connections for so long, and ends when it is told.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::routes::{self, Served, Shared};

/// What a server bears.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; one more is turned away.
    pub connections: usize,
    /// Calls that are worked on at a time; more wait.
    pub calls: usize,
    /// How long a connection may say nothing, and the head of a request may take.
    pub idle: Duration,
    /// How long the body of a request may take.
    pub request: Duration,
    /// How long a connection is kept, however busy; then it has the time of an answer left.
    pub kept: Duration,
    /// How long an answer may take once its connection is to end, or the server.
    pub answer: Duration,
    /// Bytes of a body.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            calls: 16,
            idle: Duration::from_secs(30),
            request: Duration::from_secs(15),
            kept: Duration::from_mins(10),
            answer: Duration::from_mins(2),
            body_bytes: 4 * 1024 * 1024,
        }
    }
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Others could reach it, and nobody would have to know anything.
    #[error("an address that other machines can reach needs a token")]
    TokenMissing,
    /// The token can be guessed.
    #[error("a token has at least {TOKEN_MIN} characters")]
    TokenShort,
    /// It cannot listen.
    #[error("failed to listen at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The system gives it no thread or no sockets.
    #[error("failed to serve")]
    System(#[from] io::Error),
}

/// Characters that a token has at least.
const TOKEN_MIN: usize = 16;
/// How often a stop is looked for.
const TICK: Duration = Duration::from_millis(50);
/// What one connection too many is told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    content-length: 32\r\nconnection: close\r\n\r\n{\"error\":\"too many connections\"}";

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    limits: Limits,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens at `address`. An address that others can reach is refused without a token.
    pub fn bind(address: SocketAddr, served: Served, limits: Limits) -> Result<Self, ServeError> {
        match &served.token {
            None if !address.ip().is_loopback() => return Err(ServeError::TokenMissing),
            Some(token) if token.expose_secret().chars().count() < TOKEN_MIN => {
                return Err(ServeError::TokenShort);
            }
            _ => {}
        }
        let listen = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = listen().map_err(|source| ServeError::Listen { address, source })?;
        let shared = Shared::new(served, limits.clone());
        Ok(Self { listener, shared, limits })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`; what is being answered then is answered.
    pub fn run(self, stop: &AtomicBool) -> Result<(), ServeError> {
        let answer = self.limits.answer;
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_io().enable_time().max_blocking_threads(self.limits.calls).build()?;
        // A connection to a server of databases cannot end where other things are awaited, so the last to hold them is not
        // the runtime.
        let shared = Arc::clone(&self.shared);
        let ended = runtime.block_on(self.accept(stop));
        // Calls that nobody waits for end on threads of their own.
        runtime.shutdown_timeout(answer);
        drop(shared);
        Ok(ended?)
    }

    async fn accept(self, stop: &AtomicBool) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let router = routes::router(&self.shared);
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        while !stop.load(Ordering::Relaxed) {
            let stream = match timeout(TICK, listener.accept()).await {
                Err(_) => continue,
                // The peer is gone already, or there are no more descriptors for a while.
                Ok(Err(_)) => {
                    sleep(TICK).await;
                    continue;
                }
                Ok(Ok((stream, _))) => stream,
            };
            match Arc::clone(&slots).try_acquire_owned() {
                Ok(slot) => drop(tokio::spawn(attend(stream, router.clone(), self.limits.clone(), slot))),
                // Whoever does not take even this is told nothing.
                Err(_) => drop(stream.try_write(FULL)),
            }
        }
        drop(listener);
        let answered = async {
            while self.shared.busy() > 0 {
                sleep(TICK / 5).await;
            }
            // What was answered last is on its way.
            sleep(TICK).await;
        };
        let _ = timeout(self.limits.answer, answered).await;
        Ok(())
    }
}

/// Answers the requests of one connection.
async fn attend(stream: TcpStream, router: Router, limits: Limits, _slot: OwnedSemaphorePermit) {
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle).max_buf_size(64 * 1024);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // What goes wrong on it is the peer's loss alone.
    if timeout(limits.kept, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(limits.answer, connection).await;
    }
}
