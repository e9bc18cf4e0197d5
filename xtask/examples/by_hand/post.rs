//! Upserts through PostgREST.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::blocking::Client;

use crate::Failure;
use crate::data::Item;

fn client() -> Client {
    // Only fails where there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

/// Waits until the server knows a table or a function that was just made.
pub(crate) fn wait(url: &str, asked: &str) -> Result<(), Failure> {
    let client = client();
    let ask = || client.get(format!("{url}/{asked}")).send().map(|answer| answer.status());
    let known = |status: StatusCode| status.is_success() || [401, 403].contains(&status.as_u16());
    for _ in 0..200 {
        if known(ask()?) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err("the server does not come to know it".into())
}

/// A request a batch, with a pause after each. The key comes from the environment.
pub(crate) fn batches(url: &str, batch: usize, pause_ms: u64, items: &[Item]) -> Result<f64, Failure> {
    let key = std::env::var("SUPABASE_SERVICE_ROLE_KEY")?;
    let client = client();
    let start = Instant::now();
    for rows in items.chunks(batch) {
        let request = client
            .post(format!("{url}/items?on_conflict=id"))
            .header("apikey", &key)
            .header("Authorization", format!("Bearer {key}"))
            .header("Content-Type", "application/json")
            .header("Prefer", "resolution=merge-duplicates, return=minimal")
            .body(serde_json::to_vec(rows)?);
        let status = request.send()?.status();
        if !status.is_success() {
            return Err(format!("status {status}").into());
        }
        std::thread::sleep(Duration::from_millis(pause_ms));
    }
    Ok(start.elapsed().as_secs_f64())
}
