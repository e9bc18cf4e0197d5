//! The page and what it shows: nothing that could change anything, and nothing from elsewhere.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::routes::{Shared, is_fresh};
use crate::clock::Stamp;
use crate::phases::{Overview, Store, StoreError, StratumCount};

/// The page. What it shows it asks for again every two seconds.
pub(super) const HTML: &str = include_str!("page/page.html");
/// Its script.
pub(super) const SCRIPT: &str = include_str!("page/page.js");
/// Its look.
pub(super) const STYLE: &str = include_str!("page/page.css");

/// What the page was told last, when that was, and how long it took to find out.
pub(super) type Latest = Option<(Arc<View>, Instant, Duration)>;

/// How a backlog stands.
#[derive(Debug, Serialize)]
pub(super) struct View {
    format: u32,
    at: Stamp,
    #[serde(flatten)]
    overview: Overview,
    samples: Vec<StratumCount>,
}

pub(super) fn part(kind: &'static str, text: &'static str) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], text).into_response()
}

/// How the backlog stands; many who look at the same time cost as much as one.
pub(super) async fn state(shared: Arc<Shared>) -> Result<Arc<View>, StoreError> {
    {
        let latest = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((view, since, took)) = &*latest
            && is_fresh(*since, *took)
        {
            return Ok(Arc::clone(view));
        }
    }
    let began = Instant::now();
    let view = Arc::new(Arc::clone(&shared).ask_apart(look).await?);
    let latest = Some((Arc::clone(&view), Instant::now(), began.elapsed()));
    *shared.state.lock().unwrap_or_else(PoisonError::into_inner) = latest;
    Ok(view)
}

fn look(store: &mut dyn Store, now: Stamp) -> Result<View, StoreError> {
    Ok(View { format: 1, at: now, overview: store.overview(now)?, samples: store.sample_counts()? })
}
