//! The page, in a browser: what it shows, and that it goes on showing what is.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::world::{World, eventually};
use crate::{Server, TOKEN, lineage};

/// What a browser needs that is started as root, without a screen and without a network.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser that is told what to do over HTTP.
struct Browser {
    driver: Child,
    client: Client,
    session: String,
    profile: tempfile::TempDir,
}

impl Browser {
    /// `None` where there is none, which is said.
    fn start() -> Option<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(driver) = driver else {
            let is_required = std::env::var("OPS_REQUIRE_LIVE").is_ok_and(|value| value == "1");
            assert!(!is_required, "chromedriver cannot be started");
            #[expect(clippy::print_stderr, reason = "what is not tried is said")]
            {
                eprintln!("SKIPPED: the page is not tried, because chromedriver cannot be started");
            }
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let client = client();
        let mut browser =
            Self { driver, client, session: format!("http://127.0.0.1:{port}/session"), profile };
        eventually("chromedriver listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let mut arguments: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={}", browser.profile.path().display()));
        let options = json!({"args": arguments});
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let begun = browser.post("", &wanted);
        let id = begun["sessionId"].as_str().unwrap_or_else(|| panic!("{begun}"));
        browser.session = format!("{}/{id}", browser.session);
        Some(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.session)).body(body.to_string());
        let answer: Value = serde_json::from_str(&request.send().unwrap().text().unwrap()).unwrap();
        answer["value"].clone()
    }

    fn open(&self, url: &str) {
        assert_eq!(self.post("/url", &json!({"url": url})), Value::Null);
    }

    fn run(&self, script: &str) -> String {
        let value = self.post("/execute/sync", &json!({"script": script, "args": []}));
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }

    /// The text of an element, its cells separated by a blank.
    fn text(&self, id: &str) -> String {
        self.run(&format!("return document.getElementById('{id}').innerText.replace(/\\s+/g, ' ').trim()"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.client.delete(&self.session).send();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn client() -> Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let patience = Duration::from_mins(1);
    Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(patience).build().unwrap()
}

#[test]
fn the_page_shows_a_backlog_and_goes_on_showing_it() {
    let Some(browser) = Browser::start() else { return };
    let world = World::new(3);
    // What is stored is text on the page, whatever it says.
    world.sql(
        "UPDATE phases SET state = 'FAILED' WHERE phase_id = 'p3';
         INSERT INTO phase_leases (phase_pk, owner, fencing_token, claimed_at, expires_at, prior_state)
         SELECT id, '<b>worker-1</b>', 1, '2026-01-01', '9999-01-01', 'QUEUED' FROM phases WHERE phase_id = 'p1';
         INSERT INTO phase_attempts (run_id, phase_id, attempt, session_id, owner, fencing_token, outcome,
             outcome_source, verified, telemetry, started_at, finished_at)
         VALUES ('r', 'p3', 1, 'drain-1', '<b>worker-1</b>', 1, 'failed', 'command', 0, 'output_tokens_unknown',
             '2026-01-01', '2026-01-01')",
    );
    let server = Server::start(&world, "127.0.0.1:0", None);
    browser.open(&server.origin);
    eventually("the page shows the phases", || browser.text("phases") == "FAILED 1 QUEUED 2");
    assert!(browser.text("database").ends_with(&format!("x.db, lineage {}, seed", lineage(&world))));
    assert!(browser.text("at").starts_with("1 runs, as of 20"));
    assert_eq!(browser.text("sessions"), "drain-1 <b>worker-1</b> 1 1 0");
    assert_eq!(browser.text("telemetry"), "output_tokens_unknown 1");
    assert_eq!(browser.text("samples"), "none");
    assert_eq!(browser.text("runs"), "r RUN_CREATED FAILED 1, QUEUED 2");
    // Nobody touches the page.
    world.sql("UPDATE phases SET state = 'COMPLETE' WHERE phase_id = 'p1'; DELETE FROM phase_leases");
    eventually("it shows the change", || browser.text("phases") == "COMPLETE 1 FAILED 1 QUEUED 1");
    assert_eq!(browser.text("sessions"), "none");
    // All that it asked for is of this server.
    let asked = browser.run("return performance.getEntriesByType('resource').map((r) => r.name).join(' ')");
    assert!(asked.contains("/v1/state"), "{asked}");
    assert!(asked.split(' ').all(|url| url.starts_with(&server.origin)), "{asked}");
    drop(server);
    eventually("it says that the server is away", || browser.text("at").starts_with("no answer"));

    let server = Server::start(&world, "127.0.0.1:0", Some(TOKEN));
    browser.open(&server.origin);
    eventually("it asks for the token", || browser.text("at").contains("the token of this server"));
    assert_eq!(browser.run("return document.getElementById('shown').hidden"), "true");
    browser.run(&format!(
        "document.getElementById('token').value = '{TOKEN}'; document.querySelector('button').click()"
    ));
    eventually("the token opens it", || browser.text("phases") == "COMPLETE 1 FAILED 1 QUEUED 1");
}
