//! JSON Lines through tracing-appender: a bounded queue and a thread that writes, without a transaction or a schema, and
//! nothing flushed to disk. Its queue drops nothing here, as that of the store.

#[path = "../../race/load.rs"]
mod load;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::time::Instant;

use tracing_appender::non_blocking::NonBlockingBuilder;

fn main() {
    let (_, load, folder) = load::told();
    let path = folder.join(format!("appender-{}.ndjson", std::process::id()));
    let began = Instant::now();
    let file = File::create(&path).unwrap();
    let (writer, guard) = NonBlockingBuilder::default().lossy(false).buffered_lines_limit(8192).finish(file);
    let waits = load.run(|| {
        let mut writer = writer.clone();
        move |sample: load::Sample| writer.write_all(sample.line().as_bytes()).unwrap()
    });
    drop(guard);
    let seconds = began.elapsed().as_secs_f64();
    let found = BufReader::new(File::open(&path).unwrap()).lines().count();
    std::fs::remove_file(&path).unwrap();
    let producers = i64::try_from(load.producers).unwrap();
    assert_eq!(i64::try_from(found).unwrap(), load.events / producers * producers);
    load::tell(load, seconds, &waits);
}
