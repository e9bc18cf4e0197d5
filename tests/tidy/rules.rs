//! The rules about single source files: who may use what, how long things may be, what is never written.
//!
//! Each rule is a function from a [`Source`] to findings, so that each can be shown to fire.

use super::source::{Path, Source, words};

/// Lines that a file may have.
pub(crate) const FILE_LINES_MAX: usize = 700;
/// Lines that a function may have.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;

/// Paths that code in some folders must not name.
struct Ban {
    /// Folders or files where it holds.
    within: &'static [&'static str],
    /// Folders or files in them where it does not.
    except: &'static [&'static str],
    /// Crates.
    crates: &'static [&'static str],
    /// Runs of path segments.
    paths: &'static [&'static str],
    why: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        within: &["ops/src/", "xtask/src/"],
        except: &["ops/src/db/sqlite/", "ops/src/target/sqlite/"],
        crates: &["rusqlite"],
        paths: &[],
        why: "only db/sqlite and target/sqlite of ops talk to SQLite",
    },
    Ban {
        within: &["ops/src/", "xtask/src/"],
        except: &["ops/src/db/postgres", "ops/src/target/postgres/"],
        crates: &["postgres", "tokio_postgres", "tokio_postgres_rustls"],
        paths: &[],
        why: "only db/postgres and target/postgres of ops talk to PostgreSQL",
    },
    Ban {
        within: &["ops/src/", "xtask/src/"],
        except: &["ops/src/db/postgres", "ops/src/target/postgres/", "ops/src/target/postgrest/"],
        crates: &["rustls", "rustls_native_certs"],
        paths: &[],
        why: "only the drivers that talk to a server encrypt what they say",
    },
    Ban {
        within: &["ops/src/", "xtask/src/"],
        except: &[
            "ops/src/target/postgrest/",
            "ops/src/work/drain/models/",
            "ops/src/work/drain/http.rs",
            "ops/src/work/serve/client.rs",
        ],
        crates: &["reqwest"],
        paths: &[],
        why: "nothing talks HTTP but target/postgrest, the executors that ask services and the client of serve",
    },
    Ban {
        within: &["ops/src/", "xtask/src/"],
        except: &["ops/src/work/serve/"],
        crates: &["axum", "hyper", "hyper_util", "tokio"],
        paths: &[],
        why: "only work/serve is asynchronous",
    },
    Ban {
        within: &["ops/src/"],
        except: &[],
        crates: &["clap", "anyhow"],
        paths: &[
            "std::env",
            "process::exit",
            "io::stdout",
            "io::stderr",
            "println!",
            "print!",
            "eprintln!",
            "eprint!",
        ],
        why: "the library takes arguments and returns values; xtask reads and prints",
    },
    Ban {
        within: &["xtask/src/task/"],
        except: &[],
        crates: &["rusqlite", "postgres", "reqwest"],
        paths: &[],
        why: "a task is a thin shell over ops",
    },
    Ban {
        within: &["ops/src/", "xtask/src/"],
        except: &["xtask/src/dev/"],
        crates: &["xshell"],
        paths: &[],
        why: "only the developer's own tasks run programs through a shell",
    },
    Ban {
        within: &["xtask/src/"],
        except: &["xtask/src/settings.rs", "xtask/src/dev/"],
        crates: &[],
        paths: &["env::var", "env::var_os", "env::vars", "env::vars_os", "env::current_dir"],
        why: "only xtask/src/settings.rs reads the environment",
    },
];

/// The modules that everything in `ops` may use.
const GROUND: &[&str] = &[
    "clock", "files", "guard", "hash", "ids", "ledger", "long", "os", "pace", "random", "redact", "sort",
    "stats", "swar", "text", "url", "value",
];

/// What each module of `ops` may use besides [`GROUND`] and itself, from the bottom to the top.
const LAYERS: &[(&str, &[&str])] = &[
    ("report", &[]),
    ("export", &[]),
    ("records", &[]),
    ("target", &["db"]),
    ("target::sqlite", &["target", "db", "db::sqlite", "identity"]),
    ("target::postgres", &["target", "db", "db::postgres", "identity"]),
    ("target::postgrest", &["target", "db", "identity"]),
    ("change", &["report", "db", "identity", "target", "records"]),
    ("backfill", &["change", "report", "target"]),
    ("cleanup", &["report", "records"]),
    ("config", &["backfill", "cleanup", "soak", "tokens"]),
    ("db", &[]),
    ("migrate", &[]),
    ("fingerprint", &["report"]),
    ("parquet", &[]),
    ("tokens", &["report", "export", "parquet"]),
    ("telemetry", &["tokens", "db"]),
    ("glyphs", &["report", "telemetry"]),
    ("analytics", &["report", "export", "db", "telemetry"]),
    ("phases", &["db", "telemetry", "fingerprint"]),
    ("db::sqlite", &["db", "export", "migrate", "tokens", "telemetry", "phases", "fingerprint"]),
    ("db::postgres", &["db", "migrate", "telemetry", "phases"]),
    ("stores", &["db", "db::sqlite", "db::postgres", "telemetry"]),
    ("identity", &["report", "db", "migrate", "db::sqlite", "db::postgres"]),
    ("probe", &["db", "db::sqlite", "db::postgres", "identity", "target", "target::postgrest"]),
    ("artifacts", &["report", "soak"]),
    ("health", &["report", "target", "backfill"]),
    ("soak", &["report", "export", "db", "target::postgrest", "probe"]),
    (
        "work",
        &["report", "db", "tokens", "telemetry", "phases", "identity", "fingerprint", "target::postgrest"],
    ),
];

/// Everything wrong with one file, each as `path:line: what`.
pub(crate) fn findings(source: &Source) -> Vec<String> {
    let rules = [module_doc, lengths, bans, developer_variables, layers, leftovers, blanks];
    let mut found: Vec<Finding> = rules.iter().flat_map(|rule| rule(source)).collect();
    found.sort();
    found.dedup();
    found.iter().map(|(line, what)| format!("{}:{line}: {what}", source.path)).collect()
}

type Finding = (usize, String);

fn module_doc(source: &Source) -> Vec<Finding> {
    let is_there = source.text.starts_with("//! ");
    (!is_there)
        .then(|| (1, "a module starts with `//!` and says why it exists".to_owned()))
        .into_iter()
        .collect()
}

fn lengths(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        found.push((lines, format!("{lines} lines, more than {FILE_LINES_MAX}; split the file")));
    }
    for (name, line, lines) in source.functions() {
        if lines > FUNCTION_LINES_MAX {
            found.push((line, format!("`{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}")));
        }
    }
    found
}

fn bans(source: &Source) -> Vec<Finding> {
    let is_in = |places: &[&str]| places.iter().any(|place| source.path.starts_with(place));
    let paths = source.paths();
    let mut found = Vec::new();
    for ban in BANS.iter().filter(|ban| is_in(ban.within) && !is_in(ban.except)) {
        for path in &paths {
            let is_banned = ban.crates.iter().any(|name| names_crate(path, name, source, &paths))
                || ban.paths.iter().any(|run| names_run(&path.text, run));
            if is_banned {
                found.push((path.line, format!("`{}`: {}", path.text, ban.why)));
            }
        }
    }
    found
}

/// Whether `path` starts at the crate `name`, and not at a module of that name which is in scope.
fn names_crate(path: &Path, name: &str, source: &Source, paths: &[Path]) -> bool {
    let starts = path
        .text
        .strip_prefix(name)
        .is_some_and(|rest| rest.starts_with("::") || (path.is_use && rest.is_empty()));
    let is_declared =
        || words(&source.code, "mod").iter().any(|at| source.code[at + 3..].trim_start().starts_with(name));
    let is_imported = || paths.iter().any(|p| p.is_use && p.text.ends_with(&format!("::{name}")));
    starts && !is_declared() && !is_imported()
}

/// Whether the segments of `run` follow each other somewhere in `path`.
fn names_run(path: &str, run: &str) -> bool {
    let path: Vec<&str> = path.split("::").collect();
    let run: Vec<&str> = run.split("::").collect();
    path.windows(run.len()).any(|window| window == run)
}

/// `xtask/src/dev` may ask which cargo runs it and whether a person watches, and for no other variable.
fn developer_variables(source: &Source) -> Vec<Finding> {
    if !source.path.starts_with("xtask/src/dev/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for name in ["var", "var_os", "vars", "vars_os"] {
        for at in words(&source.code, name) {
            let is_call = source.code[at + name.len()..].starts_with('(');
            let argument = source.text[at..].split_once(')').map_or("", |(call, _)| call);
            if is_call && !["(\"CARGO\"", "(\"CI\""].iter().any(|known| argument.ends_with(known)) {
                found.push((source.line(at), "xtask/src/dev may read CARGO and CI only".to_owned()));
            }
        }
    }
    found
}

fn layers(source: &Source) -> Vec<Finding> {
    let Some(place) = module_path(&source.path) else { return Vec::new() };
    let module = module(&place);
    let Some(may_use) = allowed(&module) else {
        return vec![(1, format!("module `{module}` of ops is not in the table of tests/tidy/rules.rs"))];
    };
    let mut found = Vec::new();
    for path in source.paths() {
        let used = resolve(&path.text, &place).map(|used| self::module(&used));
        let Some(used) = used.filter(|used| *used != module && !may_use.contains(&used.as_str())) else {
            continue;
        };
        if allowed(&used).is_some() {
            found.push((path.line, format!("`{module}` must not use `{used}`: it lies above")));
        }
    }
    found
}

/// What `module` may use; `None` for a module that is not in the table.
fn allowed(module: &str) -> Option<Vec<&'static str>> {
    if GROUND.contains(&module) {
        return Some(GROUND.to_vec());
    }
    let (_, above) = LAYERS.iter().find(|(name, _)| *name == module)?;
    Some([GROUND, above].concat())
}

/// `ops/src/db/sqlite/open.rs` as `db`, `sqlite`, `open`; `None` outside ops and for its root.
fn module_path(path: &str) -> Option<Vec<String>> {
    let rest = path.strip_prefix("ops/src/")?.strip_suffix(".rs")?;
    let parts: Vec<String> = rest.split('/').filter(|part| *part != "mod").map(str::to_owned).collect();
    (parts != ["lib"]).then_some(parts)
}

/// The module of the table that a path inside the crate belongs to.
fn module(path: &[String]) -> String {
    match path {
        [db, driver, ..] if db == "db" && ["sqlite", "postgres"].contains(&driver.as_str()) => {
            format!("db::{driver}")
        }
        [target, driver, ..]
            if target == "target" && ["sqlite", "postgres", "postgrest"].contains(&driver.as_str()) =>
        {
            format!("target::{driver}")
        }
        [first, ..] => first.clone(),
        [] => String::new(),
    }
}

/// A `crate::`, `self::` or `super::` path as seen from the root of the crate.
fn resolve(path: &str, place: &[String]) -> Option<Vec<String>> {
    let mut segments = path.split("::").peekable();
    let mut at = match segments.next()? {
        "crate" => Vec::new(),
        "self" => place.to_vec(),
        "super" => place[..place.len() - 1].to_vec(),
        _ => return None,
    };
    while segments.next_if_eq(&"super").is_some() {
        at.pop();
    }
    at.extend(segments.map(str::to_owned));
    Some(at)
}

/// Promises and switched-off tests. The words are put together here so that this file passes.
fn leftovers(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let in_text = [concat!("TO", "DO"), concat!("FIX", "ME")];
    for (number, line) in source.text.lines().enumerate() {
        for word in in_text.iter().filter(|word| !words(line, word).is_empty()) {
            found.push((number + 1, format!("`{word}`: do it, or say why it is not done")));
        }
    }
    // The code has no test modules, where attributes of tests are; the raw text has strings. Take the text
    // without literals.
    let code = super::source::code_of(&source.text);
    for (number, line) in code.lines().enumerate() {
        for (word, why) in [
            ("#[ignore", "a test that does not run proves nothing"),
            ("#[should_panic", "test the error"),
            ("todo!", "no stubs"),
            ("unimplemented!", "no stubs"),
        ] {
            if line.contains(word) {
                found.push((number + 1, format!("`{word}`: {why}")));
            }
        }
    }
    found
}

fn blanks(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().enumerate();
    let bad = lines.filter(|(_, line)| line.ends_with(char::is_whitespace) || line.contains('\t'));
    bad.map(|(number, _)| (number + 1, "a tab or a blank at the end of the line".to_owned())).collect()
}
