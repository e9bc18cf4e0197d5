//! What `cargo xtask bench change` runs beside the change engine: the data, and the fastest upserts one would write
//! by hand, without a plan, a journal, a comparison or a way back.
//!
//! Built by the bench alone (feature `bench`). Rows are parsed, and sorted where the way sorts them, before the
//! clock starts; a way prints its rows and the seconds of the writing alone.

#![expect(clippy::print_stdout, reason = "the answer of a contender")]
#![expect(clippy::disallowed_methods, reason = "a contender takes its orders from its arguments")]

mod data;
mod post;
mod postgres_ways;
mod sqlite_ways;

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};

use data::Item;

type Failure = Box<dyn Error>;

const USAGE: &str = "by_hand data FOLDER ROWS plan|apply db|desired|copy…
by_hand load URL COPY | reset URL | drop URL | digest-sqlite FILE | digest-postgres URL | wait URL PATH
by_hand WAY TARGET DESIRED BATCH ROWS
  WAY: sqlite-full, sqlite-normal, sqlite-rows, values, unnest, copy, rows-in-transactions, rows, post, post-and-pause";

const UPDATES: &str = "name = excluded.name, description = excluded.description, tone = excluded.tone, \
    depth = excluded.depth, weight = excluded.weight, updated_at = excluded.updated_at, meta = excluded.meta";

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["data", folder, rows, mix, outputs @ ..] => {
            data::make(folder.as_ref(), rows.parse()?, mix, outputs)?;
        }
        ["load", url, file] => postgres_ways::load(url, file)?,
        ["reset", url] => postgres_ways::reset(url)?,
        ["drop", url] => postgres_ways::drop_all(url)?,
        ["digest-sqlite", file] => println!("{}", sqlite_ways::digest(file)?),
        ["digest-postgres", url] => println!("{}", postgres_ways::digest(url)?),
        ["wait", url, asked] => post::wait(url, asked)?,
        [way, target, desired, batch, rows] => {
            let (batch, mut items) = (batch.parse()?, read(desired, rows.parse()?)?);
            // What goes row by row is what does not think of order.
            if !way.contains("rows") && !way.contains("pause") {
                items.sort_by(|a, b| a.id.cmp(&b.id));
            }
            let seconds = match *way {
                "sqlite-full" => sqlite_ways::batches(target, "FULL", batch, &items)?,
                "sqlite-normal" => sqlite_ways::batches(target, "NORMAL", batch, &items)?,
                "sqlite-rows" => sqlite_ways::rows(target, &items)?,
                "values" => postgres_ways::values(target, batch, &items)?,
                "unnest" => postgres_ways::unnest(target, batch, &items)?,
                "copy" => postgres_ways::copy(target, batch, &items)?,
                "rows-in-transactions" => postgres_ways::rows_in_transactions(target, batch, &items)?,
                "rows" => postgres_ways::rows(target, &items)?,
                "post" => post::batches(target, batch, 0, &items)?,
                "post-and-pause" => post::batches(target, batch, 200, &items)?,
                _ => return Err(USAGE.into()),
            };
            println!("{}", serde_json::json!({ "rows": items.len(), "seconds": seconds }));
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// The first rows of a file, in its order.
fn read(path: &str, rows: usize) -> Result<Vec<Item>, Failure> {
    let lines = BufReader::new(File::open(path)?).lines().take(rows);
    lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}
