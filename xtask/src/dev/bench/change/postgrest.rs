//! Part `postgrest`: changes through the API, with our functions and without.
//!
//! PostgREST is asked directly: a gateway would add the same time to everybody's requests and hide the difference.

use std::path::Path;

use super::apply::{Place, partly};
use super::{Change, path};
use crate::dev::bench::race::Contender;

/// Live rows, of those where changes are applied elsewhere: one in so many.
const SHARES: [(&str, u64); 2] = [("without functions", 40), ("with functions", 4)];

/// Rows that the slowest way gets: one in so many of the changes.
const PAUSING: u64 = 25;

impl Change<'_> {
    pub(super) fn postgrest(&mut self) -> anyhow::Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        let (database, rest) = (server.database.clone(), server.rest.clone());
        for (about, share) in SHARES {
            let rows = self.apply_rows() / share;
            let data = self.data(rows, "apply", &["desired", "copy"])?;
            self.by_hand(&["load", &database, path(&data.join("live.copy"))])?;
            let is_fast = about == "with functions";
            if is_fast && let Some(server) = &self.server {
                let functions = "migrations/postgres/change_functions.sql";
                server.script(&self.bench.cargo.sh.current_dir().join(functions))?;
            }
            let asked = if is_fast { "rpc/ops_change_version" } else { "items?limit=0" };
            self.by_hand(&["wait", &rest, asked])?;
            self.through(about, &data.join("desired.ndjson"), rows * 4 / 5, is_fast)?;
            self.by_hand(&["drop", &database])?;
        }
        Ok(())
    }

    fn through(&mut self, about: &str, desired: &Path, changes: u64, is_fast: bool) -> anyhow::Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        let (database, api) = (server.database.clone(), server.rest.clone());
        // A project that is set for other work must not be named beside this one.
        let env = vec![("SUPABASE_URL", api.clone()), ("SUPABASE_SERVICE_ROLE_KEY", server.key.clone())];
        let prepared = self.prepare("postgrest", &api, desired, &env)?;
        let (all, few) = (changes.to_string(), (changes / PAUSING).to_string());
        let way = |name: &str, way: &str, rows: &str| {
            let command = self.way(&[way, &api, path(desired), "200", rows]);
            Contender { command, env: env.clone(), ..Contender::new(name, &[]) }
        };
        let goal = |times: f64| self.goal(times).filter(|_| is_fast);
        let contenders = vec![
            Contender { env: env.clone(), ..self.applying(&prepared, &api, "200", &[]) },
            way("bulk POST by hand, sorted", "post", &all).speed(goal(0.6)),
            way(&partly("a POST and a pause of 0.2 s"), "post-and-pause", &few).speed(goal(20.0)),
        ];
        let reset = || self.by_hand(&["reset", &database]).map(drop);
        let digest = || self.by_hand(&["digest-postgres", &database]);
        let about = format!("postgrest {about}: apply 200 rows a batch");
        let place = Place { about, reset: &reset, digest: &digest };
        let results = self.applies(&prepared, &place, contenders)?;
        self.results.extend(results);
        Ok(())
    }
}
