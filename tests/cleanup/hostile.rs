//! Files that are made to hurt, through the whole run: a result or a reason, in bounded memory and time.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::command::xtask_std;
use crate::world::{World, other};

/// Kilobytes of data that a run may have.
const DATA_KB: u64 = 700_000;
/// Longer than any of these takes on a slow machine; what is quadratic takes days.
const TIME: Duration = Duration::from_mins(2);

/// Cleans a file with little memory; its exit code and what it said.
fn clean(world: &World, name: &str, bytes: &[u8]) -> (i32, String) {
    world.file(name, bytes);
    let plain = xtask_std(world.dir.path());
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -d \"$0\" && exec \"$@\"", &DATA_KB.to_string()]).arg(plain.get_program());
    limited.args(["cleanup", "--source", name, "--dataset", "glyphs", "--out", "out"]);
    limited.env_clear().current_dir(world.dir.path());
    limited.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let began = Instant::now();
    let output = limited.output().unwrap();
    assert!(began.elapsed() < TIME, "{name}: {:?}", began.elapsed());
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!said.contains("panicked"), "{name}: {said}");
    (output.status.code().expect("it was not killed"), said)
}

/// A text of 20 MB, and smaller ones for each of which some rule could take too long.
#[test]
fn huge_texts_are_rows() {
    let size = 3 << 20;
    for text in [
        "é".repeat(10 << 20) + " end",
        "0123456789abcdef".repeat(size / 16) + " end",
        "a ".repeat(size / 2),
        "<a ".repeat(size / 3),
        "Ã©".repeat(size / 4),
        "&amp;".repeat(size / 5),
        "([{\\\"".repeat(size / 5),
    ] {
        let world = World::new();
        let row = format!("{{\"id\":\"1\",\"name\":\"Harbor of light\",\"description\":\"{text}\"}}\n");
        let (code, said) = clean(&world, "rows.ndjson", row.as_bytes());
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("1 in = 1 out"), "{said}");
    }
    let world = World::new();
    let items: Vec<String> = (0..300_000).map(|n| format!("t{n}")).collect();
    let row = format!("{{\"id\":\"1\",\"name\":\"Harbor of light\",\"triggers\":\"{}\"}}\n", items.join(";"));
    let (code, said) = clean(&world, "rows.ndjson", row.as_bytes());
    assert_eq!(code, 0, "{said}");
}

#[test]
fn damage_everywhere_is_rejected_or_said() {
    let good = |n: u32| format!("{{\"id\":\"{n}\",\"name\":\"Harbor {n}\"}}\n");
    let wide: Vec<String> = (0..1_000_000).map(|n| format!("c{n}")).collect();
    let deep = |open: &str, close: &str| {
        format!(
            "INSERT INTO g (id, name) VALUES ('1', {}1{}), ('2', 'Harbor');",
            open.repeat(10_000),
            close.repeat(10_000)
        )
    };
    let cases: [(&str, Vec<u8>, i32, &str); 7] = [
        ("deep.sql", deep("(", ")").into_bytes(), 5, "1 rejected"),
        (
            "open.sql",
            b"INSERT INTO g (id, name) VALUES ('1', 'Harbor'), ('2', 'never closed".to_vec(),
            5,
            "1 rejected",
        ),
        ("open.csv", b"id,name\n1,Harbor\n2,\"never closed\n3,x\n".to_vec(), 5, "rejected"),
        ("nul.ndjson", [good(1).as_bytes(), &b"\0\n".repeat(1000)].concat(), 5, "1,000 rejected"),
        (
            "bytes.csv",
            [&b"id,name\n1,Harbor\n"[..], &b"2,\xff\xfe\x80\n".repeat(1000)].concat(),
            5,
            "1,000 rejected",
        ),
        (
            "wide.csv",
            format!("{}\n{}\n", wide.join(","), vec!["1"; wide.len()].join(",")).into_bytes(),
            3,
            "too many different columns",
        ),
        (
            "names.ndjson",
            wide.iter()
                .take(20_000)
                .map(|name| format!("{{\"id\":\"1\",\"{name}\":1}}\n"))
                .collect::<String>()
                .into_bytes(),
            3,
            "too many different columns",
        ),
    ];
    for (name, bytes, expected, part) in cases {
        let world = World::new();
        let (code, said) = clean(&world, name, &bytes);
        assert_eq!(code, expected, "{name}: {said}");
        assert!(said.contains(part), "{name}: {said}");
    }
}

#[test]
fn a_file_that_unpacks_without_end_is_refused() {
    let world = World::new();
    let packed = other(Command::new("sh").args(["-c", "head -c 300000000 /dev/zero | gzip -9"]));
    let Some(packed) = packed else { return };
    let (code, said) = clean(&world, "rows.ndjson.gz", &packed);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("times its size"), "{said}");
    assert!(!world.path("out").exists());
}
